// Package triage turns dead letters into exceptions that people can see.
//
//	in   every service's dead letters
//	out  ExceptionRaised
//
// Invariants: a dead letter raises one exception, named by its source record;
// an exception names its source record and its cause.
package triage
