package walk

import (
	"testing"

	"troupe/services"
)

// TestHistoryIsRebuilt: after a run, the state of every service follows from what
// it has read, to the last row.
func TestHistoryIsRebuilt(t *testing.T) {
	e := over(t, folder())
	contexts, err := services.New(services.Config{Mail: "localhost:25", MailFrom: "orders@localhost"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range contexts.All {
		if len(s.Sets) == 0 {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			e.on(t).run(0, "state", "rebuild", s.Name, "--time", "event")
		})
	}
}
