package processmanager

import (
	"slices"
	"strings"
	"testing"
)

func TestShippedDefinition(t *testing.T) {
	d := shipped(t)
	for event, want := range map[string][]string{
		"OrderPlaced":        nil,
		"InvoiceIssued":      {"lines"}, // which name the shipments, as the event does not
		"ShipmentDispatched": {"last", "promisedBy", "shipmentId"},
		"PaymentReceived":    {"outstanding"},
		"PersonNeeded":       {"desk"},
	} {
		if got, ok := d.Reads()[event]; !ok || !slices.Equal(got, want) {
			t.Errorf("of %s it needs %v (%t), not %v", event, got, ok, want)
		}
	}
}

// TestRefusals changes one thing of the shipped definition at a time.
func TestRefusals(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"name: fulfilment\n", "", "name and version are needed"},
		{"  always: {", "  ever: {", "the calendar always is needed"},
		{"  desk: {days: [Mon,", "  desk: {days: [Monday,", `calendar desk: day "Monday" is none of`},
		{`from: "08:00", to: "18:00"`, `from: "08:00", to: "08:00"`, "calendar desk: no hour from 08:00 to 08:00"},
		{`from: "08:00"`, `from: "8 o'clock"`, `"8 o'clock" is no time of day such as 08:00`},
		{`from: "08:00"`, `from: "08:00 pm"`, `"08:00 pm" is no time of day`},
		{`from: "08:00"`, `from: "-1:05"`, `"-1:05" is no time of day`},
		{`to: "18:00"`, `to: "24:30"`, `"24:30" is no time of day`},
		{"calendars:\n", "calendars:\n  moon:\n", "calendar moon is empty"},
		{"    calendar: desk\n", "    calendar: moon\n", "obligation fraud-verdict: calendar moon does not exist"},
		{"calendar: node}", "calendar: moon}", "obligation picking: calendar moon does not exist"},
		{"obligations:\n", "obligations:\n  -\n", "an obligation is empty"},
		{"  - name: fraud-verdict\n", "  - name: fraud-answer\n", "obligation fraud-answer stands twice"},
		{"    owner: inventory\n", "", "obligation allocation: owner, because, events and nextAction are needed"},
		{"    because: InventoryBackordered\n", "", "obligation backorder: owner, because"},
		{"    promise: {field: eta", "    response: 1h\n    promise: {field: eta", "obligation backorder: a response or a promise, not both"},
		{"    response: 5m\n", "    response: -5m\n", "obligation payment-answer: a negative duration"},
		{"  HELD: [fraud-verdict]\n", "", "phase HELD has no obligation that would end it: a flow could be forgotten there"},
		{"  PICKING: [packing]\n", "  PICKING: []\n", "phase PICKING has no obligation"},
		{"  HELD: [fraud-verdict]\n", "  HELD: [fraud-verdict]\n  ASLEEP: [stop]\n", "phase ASLEEP is none of [PLACED HELD"},
		{"  HELD: [fraud-verdict]\n", "  HELD: [fraud-guess]\n", "phase HELD names obligation fraud-guess, which does not exist"},
		{"    owner: fraud\n", "    oner: fraud\n", "read process definition"},
		{"when: {prepaid: false}", "wen: {prepaid: false}", "read process definition"},
	} {
		text := strings.Replace(string(fulfilment), c.old, c.new, 1)
		if text == string(fulfilment) {
			t.Fatalf("the definition has no %q", c.old)
		}
		if _, err := ReadDefinition([]byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q for %q: %v, not %q", c.new, c.old, err, c.want)
		}
	}
}
