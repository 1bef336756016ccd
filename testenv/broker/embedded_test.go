package broker

import (
	"errors"
	"math"
	"net/http"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"

	"troupe/schemas"
)

const (
	one   = `{"type":"record","name":"T","fields":[{"name":"a","type":"int"}]}`
	two   = `{"type":"record","name":"T","fields":[{"name":"a","type":"int"},{"name":"b","type":"int","default":0}]}`
	wrong = `{"type":"record","name":"T","fields":[{"name":"a","type":"string"}]}`
)

// TestRegistry: it refuses what breaks a reader, gives a repeat its ID again,
// and knows everything after a restart.
func TestRegistry(t *testing.T) {
	dir := t.TempDir()
	register := func(e *Embedded, text string) (int, error) {
		cl, err := sr.NewClient(sr.URLs(e.Registry))
		if err != nil {
			t.Fatal(err)
		}
		s, err := cl.CreateSchema(t.Context(), "s", sr.Schema{Schema: text})
		return s.ID, err
	}
	start := func() *Embedded {
		e, err := StartEmbedded(EmbeddedConfig{Dir: dir, Check: schemas.CompatText})
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	e := start()
	first, err := register(e, one)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := register(e, wrong); status(err) != http.StatusConflict {
		t.Errorf("an incompatible schema: %v", err)
	}
	second, err := register(e, two)
	if err != nil || second == first {
		t.Errorf("a compatible schema: id %d after %d, %v", second, first, err)
	}
	if _, err := register(e, "{"); err == nil {
		t.Error("a schema that does not parse was registered")
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	e = start()
	if again, err := register(e, two); err != nil || again != second {
		t.Errorf("after a restart: id %d, want %d, %v", again, second, err)
	}
	cl, err := sr.NewClient(sr.URLs(e.Registry))
	if err != nil {
		t.Fatal(err)
	}
	knowsNot(t, cl)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}

// knowsNot says that a registry tells an unknown ID from a wrong address: by its own
// code. Without that a record of no schema would be waited for, for ever.
func knowsNot(t *testing.T, cl *sr.Client) {
	t.Helper()
	for _, id := range []int{0, 4711, math.MaxInt32} {
		_, err := cl.SchemaByID(t.Context(), id)
		var answer *sr.ResponseError
		if !errors.As(err, &answer) || answer.StatusCode != http.StatusNotFound || answer.ErrorCode != sr.ErrSchemaNotFound.Code {
			t.Errorf("the unknown ID %d: %d, %v", id, status(err), err)
		}
	}
}

func status(err error) int {
	var r *sr.ResponseError
	if errors.As(err, &r) {
		return r.StatusCode
	}
	return 0
}
