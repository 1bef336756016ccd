package processmanager

import (
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestListsDoNotHangOnOrder: what is put into a ledger's list comes out the same
// in whatever order it came, and however often.
func TestListsDoNotHangOnOrder(t *testing.T) {
	all := []Condition{{"a", 0}, {"a", 1}, {"b", 0}, {"b", 2}, {"c", 0}}
	rapid.Check(t, func(rt *rapid.T) {
		var list []Condition
		for _, c := range slices.Concat(rapid.Permutation(all).Draw(rt, "first"), rapid.Permutation(all).Draw(rt, "again")) {
			list = with(list, c, Condition.compare)
		}
		if !reflect.DeepEqual(list, all) {
			rt.Fatalf("%v, want %v", list, all)
		}
	})
}
