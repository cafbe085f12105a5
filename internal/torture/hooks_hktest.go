//go:build hktest

package torture

import "strings"

// hooks arm a child with what is to break.
func (o *Options) hooks() []string {
	var env []string
	if o.Mutant != "" {
		env = append(env, "HK_MUTANT="+o.Mutant)
	}
	if o.Failpoint != "" {
		env = append(env, "HK_FAILPOINT="+o.Failpoint)
	}
	return env
}

// hooked reports a variable that arms: who only looks must not be armed.
func hooked(variable string) bool {
	return strings.HasPrefix(variable, "HK_MUTANT=") || strings.HasPrefix(variable, "HK_FAILPOINT=")
}
