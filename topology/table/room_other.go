//go:build !linux

package table

import "math"

// free is not asked here: a full disk ends the process, and a start goes on from
// the changelog.
func free(string) (int64, error) { return math.MaxInt64, nil }
