package fraud

// Assessment is what is known of one order's risk.
type Assessment struct {
	Asked   bool   `avro:"asked"`
	Held    bool   `avro:"held"`
	Verdict string `avro:"verdict"` // "" until it is Cleared or Rejected
}

// The final verdicts.
const (
	Cleared  = "CLEARED"
	Rejected = "REJECTED"
)

// decision is what the scoring service or the risk desk says, in their words.
const (
	clear  = "CLEAR"
	hold   = "HOLD"
	reject = "REJECT"
)

// hold places a hold; it reports whether that is news.
func (a *Assessment) hold() bool {
	if a.Held || a.Verdict != "" {
		return false
	}
	a.Held = true
	return true
}

// settle gives the final verdict; it reports whether that is news.
func (a *Assessment) settle(verdict string) bool {
	if a.Verdict != "" {
		return false
	}
	a.Verdict = verdict
	return true
}
