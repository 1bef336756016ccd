package edge

import (
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

func TestStatus(t *testing.T) {
	noCustomer := says(200, `{"payment":{"source":"payment","asOf":"2026-01-05T08:01:00Z","data":{}}}`)
	for _, c := range []struct {
		name   string
		change func(*world)
		want   map[string]string // section → status, and what its reason or data holds
	}{
		{"all there", func(*world) {}, map[string]string{
			"order": `current "customerId":"c1"`, "payment": "current {}", "shipments": "missing nothing has been heard",
			"cancellation": "missing nothing", "customer": `current {"customerId":"c1","tier":"gold"}`}},
		{"CRM silent", func(w *world) { w.crm = silent }, map[string]string{"order": "current", "customer": "unavailable crm did not answer within"}},
		{"CRM down", func(w *world) { w.crm = says(500, "") }, map[string]string{"order": "current", "customer": "unavailable crm answered 500"}},
		{"CRM knows nobody", func(w *world) { w.crm = says(404, "") }, map[string]string{"customer": "missing the CRM does not know"}},
		{"CRM talks of another", func(w *world) { w.crm = says(200, `{"customerId":"c2"}`) }, map[string]string{"customer": "unavailable the CRM answered about another"}},
		{"CRM talks nonsense", func(w *world) { w.crm = says(200, `[`) }, map[string]string{"customer": "unavailable crm answered in a shape"}},
		{"no order yet", func(w *world) { w.tracking = noCustomer }, map[string]string{"order": "missing", "payment": "current", "customer": "missing no customer"}},
		{"tracking silent", func(w *world) { w.tracking = silent }, map[string]string{
			"order": "unavailable tracking did not answer within", "invoices": "unavailable tracking", "customer": "unavailable the order that names"}},
		{"tracking down", func(w *world) { w.tracking = says(503, "") }, map[string]string{"payment": "unavailable tracking answered 503"}},
	} {
		w := build(t, func(w *world, o *Config) {
			c.change(w)
			if strings.HasSuffix(c.name, "silent") {
				o.Timeout = soon
			}
		})
		rec := w.send("GET", "/v1/orders/acme/web-1", "", "")
		var got map[string]json.RawMessage
		if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil || rec.Code != 200 || string(got["tenant"]) != `"acme"` || string(got["orderId"]) != `"web-1"` {
			t.Errorf("%s: %d %s: %v", c.name, rec.Code, rec.Body, err)
			continue
		}
		for name, want := range c.want {
			var s section
			if err := json.Unmarshal(got[name], &s); err != nil {
				t.Errorf("%s: %s: %v", c.name, name, err)
				continue
			}
			status, holds, _ := strings.Cut(want, " ")
			if s.Status != status || s.Source == "" || !strings.Contains(s.Reason+string(s.Data), holds) {
				t.Errorf("%s: %s is %s, want %s", c.name, name, got[name], want)
			}
			if (s.Status == current) == (s.Reason != "") || s.Status == current && s.AsOf.IsZero() {
				t.Errorf("%s: %s is %s: it has either a time or a reason", c.name, name, got[name])
			}
		}
		if strings.Contains(rec.Body.String(), "Ann") || strings.Contains(rec.Body.String(), "127.0.0.1") {
			t.Errorf("%s: tells too much: %s", c.name, rec.Body)
		}
	}
}

func TestStatusAsks(t *testing.T) {
	var paths []string
	note := func(h http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { paths = append(paths, r.URL.EscapedPath()); h(w, r) }
	}
	w := build(t, func(w *world, _ *Config) { w.tracking, w.crm = note(w.tracking), note(w.crm) })
	w.send("GET", "/v1/orders/acme/web-1%3F", "", "")
	if got := strings.Join(paths, " "); got != "/orders/acme/web-1%3F /customers/acme/c1" {
		t.Error(got)
	}
}

func TestStatusUnknown(t *testing.T) {
	w := build(t, func(w *world, _ *Config) { w.tracking = says(404, "") })
	rec := w.send("GET", "/v1/orders/acme/web-1", "", "")
	isProblem(t, "unknown", rec, 404, "may still be on its way")
	if rec.Header().Get("Retry-After") == "" {
		t.Error("it does not say when to ask again")
	}
	isProblem(t, "impossible", w.send("GET", "/v1/orders/acme/a%2Fb", "", ""), 404, "slash")
}

// TestDocument: the document and the program say the same, both ways.
func TestDocument(t *testing.T) {
	rec := build(t, nil).send("GET", "/openapi.yaml", "", "")
	var doc struct {
		OpenAPI    string                    `yaml:"openapi"`
		Paths      map[string]map[string]any `yaml:"paths"`
		Components struct {
			Schemas map[string]struct {
				Properties           map[string]any `yaml:"properties"`
				Required             []string       `yaml:"required"`
				AdditionalProperties *bool          `yaml:"additionalProperties"`
			} `yaml:"schemas"`
		} `yaml:"components"`
	}
	if err := yaml.Unmarshal(rec.Body.Bytes(), &doc); err != nil || !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Fatalf("%q: %v", doc.OpenAPI, err)
	}
	var said, done []string
	for path, operations := range doc.Paths {
		for method := range operations {
			said = append(said, strings.ToUpper(method)+" "+path)
		}
	}
	s, err := newServer(Config{OrderCapture: "http://a", Tracking: "http://b", CRM: "http://c", Now: nine})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range s.routes() {
		done = append(done, r.method+" "+r.path)
	}
	same(t, "operations", said, done)
	for name, typ := range map[string]reflect.Type{
		"Order": reflect.TypeFor[order](), "Customer": reflect.TypeFor[customer](), "Line": reflect.TypeFor[line](), "Tender": reflect.TypeFor[tender](),
		"Cancellation": reflect.TypeFor[cancellation](), "Status": reflect.TypeFor[status](), "Section": reflect.TypeFor[section](),
	} {
		schema := doc.Components.Schemas[name]
		var properties, fields []string
		for p := range schema.Properties {
			properties = append(properties, p)
		}
		for i := range typ.NumField() {
			field, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			fields = append(fields, field)
		}
		same(t, name, properties, fields)
		if taken := name != "Status" && name != "Section"; taken && (schema.AdditionalProperties == nil || *schema.AdditionalProperties) {
			t.Errorf("%s: the program refuses unknown fields and the document does not", name)
		}
	}
	same(t, "required of an order", doc.Components.Schemas["Order"].Required, []string{"tenant", "channel", "channelOrder", "customer", "currency", "placedAt"})
}

func same(t *testing.T, what string, said, done []string) {
	t.Helper()
	slices.Sort(said)
	slices.Sort(done)
	if !slices.Equal(said, done) {
		t.Errorf("%s: the document has %v, the program %v", what, said, done)
	}
}
