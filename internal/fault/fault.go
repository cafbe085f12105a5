// Package fault is where tests break the system on purpose. In release builds
// every function here is a constant that the compiler removes; only builds with
// the tag hktest read the environment:
//
//	HK_MUTANT=name            one known mistake is switched on, to show that the tests see it
//	HK_FAILPOINT=name:action  at the named step: panic, exit, error or sleep=<duration>
//	HK_CLOCK_OFFSET=d         clocks are off by d, or by what the file says in file:PATH
//
// It knows nothing of the rest of the house.
package fault
