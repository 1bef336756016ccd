package schemas

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
)

// ErrUnknownSchema says that the registry has no schema of that ID: the record
// can never be read.
var ErrUnknownSchema = errors.New("the registry knows no schema of this ID")

// unavailable wraps what says nothing of a schema: the record is as good as before.
type unavailable struct{ err error }

func (u *unavailable) Error() string { return "schema registry: " + u.err.Error() }
func (u *unavailable) Unwrap() error { return u.err }

// IsUnavailable reports whether err says that the registry gave no answer, or one
// that says nothing of the schema it was asked for.
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
		return 0, fmt.Errorf("register %s: %w", subject, err)
	}
	return s.ID, nil
}

// Lookup returns the text of a schema. Only one answer says that there is none: a 404
// with the registry's own code. A 404 without it comes from a wrong address or from a
// proxy, a 401 or 403 from a credential that was changed; whoever took those for the
// records' fault would bury every record whose schema is not in memory yet.
func (r *Registry) Lookup(ctx context.Context, id int) (string, error) {
	if id > math.MaxInt32 {
		return "", ErrUnknownSchema // to registries it is no ID: they answer as to a wrong address
	}
	s, err := r.client.SchemaByID(ctx, id)
	var answer *sr.ResponseError
	switch {
	case errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound && answer.ErrorCode == sr.ErrSchemaNotFound.Code:
		return "", ErrUnknownSchema
	case answer != nil:
		return "", &unavailable{fmt.Errorf("it answers %d: %.200s", answer.StatusCode, answer.Error())}
	case err != nil:
		return "", &unavailable{err}
	case s.Schema == "":
		return "", &unavailable{errors.New("it answers without a schema")}
	}
	return s.Schema, nil
}
