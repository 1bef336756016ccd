package schemas

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestLookup: only the registry's own word is that there is no schema. Whatever else
// comes in place of one is to be asked for again.
func TestLookup(t *testing.T) {
	for _, c := range []struct {
		name    string
		status  int
		body    string
		unknown bool
	}{
		{"no such schema", http.StatusNotFound, `{"error_code": 40403, "message": "Schema 7 not found"}`, true},
		{"no such page", http.StatusNotFound, `{"error_code": 404, "message": "HTTP 404 Not Found"}`, false},
		{"no such page, in HTML", http.StatusNotFound, `<html>error_code 40403</html>`, false},
		{"no such subject", http.StatusNotFound, `{"error_code": 40401, "message": "Subject not found"}`, false},
		{"a code that does not fit", http.StatusBadGateway, `{"error_code": 40403}`, false},
		{"no credential", http.StatusUnauthorized, ``, false},
		{"no right", http.StatusForbidden, `{"error_code": 40301, "message": "User is denied operation"}`, false},
		{"too fast", http.StatusTooManyRequests, ``, false},
		{"a login page", http.StatusOK, `<html>Who are you?</html>`, false},
		{"nothing in it", http.StatusOK, `{}`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(c.body))
			}))
			defer server.Close()
			r, err := NewRegistry(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			_, err = r.Lookup(t.Context(), 7)
			if errors.Is(err, ErrUnknownSchema) != c.unknown || IsUnavailable(err) == c.unknown {
				t.Errorf("taken for: %v", err)
			}
		})
	}
}
