package topology

import "fmt"

// Bound is a limit of a service's own: of a list in its rows, of a body, a page, a wait.
// The program fixes it, since a row that was written under one must be read under it.
type Bound struct {
	Name  string // "waiting-reports"
	Value string
	At    string // what happens at it
}

// AtMost names a bound. The value is to be the constant, or field, that the code goes by,
// or what is listed is not what counts.
func AtMost(name string, value any, at string) Bound { return Bound{name, fmt.Sprint(value), at} }
