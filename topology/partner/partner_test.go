package partner

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

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
