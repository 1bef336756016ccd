package triage

// Exception is what is known of one record that could not be used.
type Exception struct {
	Raised bool `avro:"raised"`
}

// raise reports whether the exception is news.
func (e *Exception) raise() bool {
	news := !e.Raised
	e.Raised = true
	return news
}
