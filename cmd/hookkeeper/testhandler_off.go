//go:build !hktest

package main

import "github.com/hookkeeper/hookkeeper/hook"

// testRoutes: a release build has no test handler.
func testRoutes(hook.Store) []hook.Route { return nil }
