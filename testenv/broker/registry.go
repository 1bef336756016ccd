package broker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// registry puts a real compatibility check and a file in front of srfake, which
// answers every check with yes and keeps nothing.
type registry struct {
	fake  *srfake.Registry
	next  http.Handler
	check func(old []string, text string) error
	file  string

	mu   sync.Mutex
	kept []kept
	have map[string][]string // subject → texts, oldest first
}

// kept is one registration, in the order in which IDs were given.
type kept struct {
	Subject string `json:"subject"`
	Version int    `json:"version"`
	ID      int    `json:"id"`
	Schema  string `json:"schema"`
}

// maxSchema bounds a request body, in bytes.
const maxSchema = 1 << 20

// NewRegistry is the embedded registry without a port: it keeps nothing.
func NewRegistry(check func(old []string, text string) error) (http.Handler, error) {
	return newRegistry("", check)
}

func newRegistry(file string, check func([]string, string) error) (http.Handler, error) {
	fake := srfake.NewRegistry(srfake.WithGlobalCompat(sr.CompatFullTransitive))
	r := &registry{fake: fake, next: fake.Handler(), check: check, file: file, have: map[string][]string{}}
	if file == "" {
		return r, nil
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read registry: %w", err)
	}
	if err := json.Unmarshal(b, &r.kept); err != nil {
		return nil, fmt.Errorf("read registry %s: %w", file, err)
	}
	for _, k := range r.kept {
		fake.SeedSchema(k.Subject, k.Version, k.ID, sr.Schema{Schema: k.Schema})
		r.have[k.Subject] = append(r.have[k.Subject], k.Schema)
	}
	return r, nil
}

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	subject, ok := strings.CutSuffix(strings.TrimPrefix(req.URL.Path, "/subjects/"), "/versions")
	if req.Method != http.MethodPost || !ok || !strings.HasPrefix(req.URL.Path, "/subjects/") {
		r.next.ServeHTTP(w, req)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxSchema))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, 413, err.Error())
		return
	}
	var in struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(body, &in); err != nil || in.Schema == "" {
		refuse(w, http.StatusUnprocessableEntity, 42201, "the body holds no schema")
		return
	}
	if err := r.check(r.have[subject], in.Schema); err != nil {
		refuse(w, http.StatusConflict, 409, "incompatible with an earlier version: "+err.Error())
		return
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	r.next.ServeHTTP(w, req)
	r.keep(subject, in.Schema)
}

func refuse(w http.ResponseWriter, status, code int, message string) {
	w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error_code": code, "message": message}) // a client that hung up
}

// keep notes a version that is new and writes the file anew, in one step.
func (r *registry) keep(subject, text string) {
	version := len(r.have[subject]) + 1
	s, ok := r.fake.GetSchema(subject, version)
	if !ok {
		return // a repeat: no new version
	}
	r.have[subject] = append(r.have[subject], text)
	r.kept = append(r.kept, kept{subject, version, s.ID, text})
	if r.file == "" {
		return
	}
	b, err := json.Marshal(r.kept)
	if err != nil {
		return // strings and numbers always encode
	}
	if err := os.WriteFile(r.file+".new", b, 0o600); err == nil {
		_ = os.Rename(r.file+".new", r.file) // an embedded registry promises no durability
	}
}
