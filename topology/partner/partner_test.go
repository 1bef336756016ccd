package partner

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"troupe/topology"
)

func TestAcceptTellsWhatARepeatWouldMend(t *testing.T) {
	for err, want := range map[error]int{
		nil: http.StatusAccepted, errors.New("no broker"): http.StatusServiceUnavailable, topology.ErrTooLarge: http.StatusRequestEntityTooLarge,
	} {
		w := httptest.NewRecorder()
		Accept(w, httptest.NewRequest("POST", "/", nil), func(context.Context, ...topology.Request) error { return err })
		if w.Code != want {
			t.Errorf("%v: %d, want %d", err, w.Code, want)
		}
	}
}

func TestReadRefusesInWords(t *testing.T) {
	for _, c := range []struct {
		body, says string
		status     int
	}{
		{`{"id":"1"}`, "", http.StatusOK},
		{`{"id":""}`, "the body needs id", http.StatusUnprocessableEntity},
		{`{"id":1}`, "cannot be read", http.StatusBadRequest},
		{``, "cannot be read", http.StatusBadRequest},
		{`{"id":"` + strings.Repeat("x", MaxBody) + `"}`, "longer than", http.StatusRequestEntityTooLarge},
	} {
		w := httptest.NewRecorder()
		var in struct{ ID string }
		ok := Read(w, httptest.NewRequest("POST", "/", strings.NewReader(c.body)), &in, "id", func() bool { return in.ID != "" })
		if ok != (c.says == "") || w.Code != c.status || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%.20s: %v, %d %s", c.body, ok, w.Code, w.Body)
		}
	}
}
