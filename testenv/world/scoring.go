package world

import "time"

// score answers at once; after a hold the desk reviews.
func (w *World) score(r request, at time.Time) any {
	s := w.order(r.Tenant, r.Order, at).Score
	if s.Decision == "" {
		s.Decision = "CLEAR"
	}
	if s.Decision == "HOLD" && !s.ReviewedAt.IsZero() {
		w.call(later(at, s.ReviewedAt), "review/"+r.Tenant+"/"+r.Order, "fraud/desk/events", map[string]any{
			"tenant": r.Tenant, "order": r.Order, "decision": s.Review, "reviewer": "desk-1", "score": s.Score, "reason": "reviewed by hand",
		}, nil)
	}
	return map[string]any{"decision": s.Decision, "score": s.Score, "reason": ""}
}
