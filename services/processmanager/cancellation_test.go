package processmanager

import (
	"reflect"
	"slices"
	"testing"
)

func TestCancellationAccepted(t *testing.T) {
	for owed, wish := range map[string]event{"stop/": cancel, "stop-rejected/": rejected} {
		reason := wish.fields["reason"].(string)
		h := newHistory(t, shipped(t)).live(placed, authorised, allocated, wish)
		stop := told[stopFulfilment](h, "StopFulfilment")
		if stop == nil || stop.Reason != reason || h.asks != 1 || h.flow.Phase != Cancelling || !h.owes(owed) {
			t.Fatalf("%s: told %v, in %s, owed %v", wish.name, h.told, h.flow.Phase, h.owed())
		}
		h.live(stoppedWith(lines(2, 1, 1, 2), nil))
		want := &cancellationDecided{Accepted: true, Reason: reason, Lines: []decidedLine{{1, 2, 0}, {2, 1, 0}}}
		if got := told[cancellationDecided](h, "CancellationDecided"); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: decided %+v", wish.name, got)
		}
		void, release := told[voidPayment](h, "VoidPayment"), told[releaseReservation](h, "ReleaseReservation")
		if void == nil || release == nil || void.Reason != reason || release.Reason != reason || h.asks != 3 {
			t.Errorf("%s: told %v", wish.name, h.told)
		}
		if h.flow.Phase != Compensating || !h.owes("refund/") || !h.owes("restock/") {
			t.Errorf("%s: in %s, owed %v", wish.name, h.flow.Phase, h.owed())
		}
		if h.live(repaid); h.flow.Outcome != "" || h.owes("refund/") || !h.owes("restock/") {
			t.Errorf("%s: one of two has answered: %q, %v", wish.name, h.flow.Outcome, h.owed())
		}
		h.live(restocked)
		if end := told[flowClosed](h, "FlowClosed"); end == nil || end.Outcome != Cancelled || h.flow.Phase != Cancelled {
			t.Errorf("%s: both have answered: %+v", wish.name, end)
		}
	}
}

func TestCancellationRefused(t *testing.T) {
	left := []event{placed, authorised, cleared, booked, allocated, planned, dispatch("s1", true, all)}
	for phase, c := range map[string]struct {
		then []event
		want cancellationDecided
		asks int
	}{
		InTransit: {[]event{cancel, stoppedWith(nil, all)}, cancellationDecided{Reason: "everything has left", Lines: []decidedLine{{1, 0, 2}, {2, 0, 1}}}, 1},
		Closed:    {[]event{captured("s1"), invoiced("s1"), delivered, cancel}, cancellationDecided{Reason: "the flow is closed"}, 0},
	} {
		h := newHistory(t, shipped(t)).live(slices.Concat(left, c.then)...)
		if got := told[cancellationDecided](h, "CancellationDecided"); !reflect.DeepEqual(got, &c.want) || h.asks != c.asks || h.flow.Phase != phase {
			t.Errorf("decided %+v, asked %d times, in %s", got, h.asks, h.flow.Phase)
		}
	}
}

// TestFailedCompensation: it needs a person, and goes on when that one has acted.
func TestFailedCompensation(t *testing.T) {
	h := newHistory(t, shipped(t)).live(placed, authorised, cancel, stoppedWith(all, nil), on("payments", "RefundFailed", nil), restocked)
	want := &personNeeded{Desk: "payments", Severity: "high", Reason: "money could not be given back"}
	got := told[personNeeded](h, "PersonNeeded payments payments/1")
	if !reflect.DeepEqual(got, want) || h.flow.Phase != NeedsPerson || !h.owes("approval/payments") {
		t.Fatalf("%+v, in %s, owed %v", got, h.flow.Phase, h.owed())
	}
	h.live(on("processmanager.inbox", "ApproveStep", fields{"step": "payments"}))
	if h.flow.Phase != Compensating || h.owes("approval/payments") || !h.owes("refund/") {
		t.Errorf("in %s, owed %v", h.flow.Phase, h.owed())
	}
	if h.live(repaid); h.flow.Outcome != Cancelled {
		t.Errorf("the money went back at last: %q", h.flow.Outcome)
	}
}
