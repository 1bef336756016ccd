package schemas

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
)

// ErrUnknownSchema says that the registry has no schema of that ID: the record
// can never be read.
var ErrUnknownSchema = errors.New("the registry knows no schema of this ID")

// unavailable wraps what is no answer at all: the record is as good as before.
type unavailable struct{ err error }

func (u *unavailable) Error() string { return "schema registry: " + u.err.Error() }
func (u *unavailable) Unwrap() error { return u.err }

// IsUnavailable reports whether err says that the registry could not be asked.
func IsUnavailable(err error) bool {
	var u *unavailable
	return errors.As(err, &u)
}

// answerTime is what one request to the registry may take.
const answerTime = 5 * time.Second

// Registry is a Confluent-compatible schema registry.
type Registry struct{ client *sr.Client }

// NewRegistry connects to a registry by its URLs.
func NewRegistry(urls ...string) (*Registry, error) {
	return NewRegistryOver(http.DefaultTransport, urls...)
}

// NewRegistryOver is NewRegistry on a way of the caller's.
func NewRegistryOver(way http.RoundTripper, urls ...string) (*Registry, error) {
	client, err := sr.NewClient(sr.URLs(urls...), sr.HTTPClient(&http.Client{Transport: way, Timeout: answerTime}))
	if err != nil {
		return nil, fmt.Errorf("schema registry %v: %w", urls, err)
	}
	return &Registry{client}, nil
}

// Register adds a schema to a subject and returns its ID; one that is there
// already keeps its ID. An incompatible one is refused.
func (r *Registry) Register(ctx context.Context, subject, text string) (int, error) {
	s, err := r.client.CreateSchema(ctx, subject, sr.Schema{Schema: text, Type: sr.TypeAvro})
	if err != nil {
		return 0, fmt.Errorf("register %s: %w", subject, classify(err))
	}
	return s.ID, nil
}

// Lookup returns the text of a schema.
func (r *Registry) Lookup(ctx context.Context, id int) (string, error) {
	s, err := r.client.SchemaByID(ctx, id)
	if err != nil {
		return "", classify(err)
	}
	return s.Schema, nil
}

func classify(err error) error {
	var answer *sr.ResponseError
	if !errors.As(err, &answer) {
		return &unavailable{err}
	}
	if answer.StatusCode == http.StatusNotFound {
		return ErrUnknownSchema
	}
	if answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests {
		return &unavailable{err}
	}
	return err
}
