package notification

import (
	"embed"
	"fmt"
	"strings"
	"text/template"
)

// Mails are data: a file each, the subject on its first line.
//
//go:embed templates/*.txt
var templateFiles embed.FS

// letters turn a request and a name into a subject and a text.
type letters struct{ templates *template.Template }

func readLetters() (letters, error) {
	t, err := template.ParseFS(templateFiles, "templates/*.txt")
	if err != nil {
		return letters{}, fmt.Errorf("read mail templates: %w", err)
	}
	return letters{t.Option("missingkey=error")}, nil
}

// write fails for a template that does not exist or does not fit, never because
// of who the customer is. Every value is made one line first: a line break in an
// order number would end the subject early.
func (l letters) write(r sendRequest, name string) (subject, text string, err error) {
	var b strings.Builder
	err = l.templates.ExecuteTemplate(&b, r.Template+".txt", map[string]string{
		"Name": oneLine(name), "OrderNumber": oneLine(r.OrderNumber), "ShipmentID": oneLine(r.ShipmentID),
		"Carrier": oneLine(r.Carrier), "TrackingNumber": oneLine(r.TrackingNumber),
	})
	if err != nil {
		return "", "", fmt.Errorf("write mail %s: %w", r.Template, err)
	}
	subject, text, _ = strings.Cut(b.String(), "\n")
	return strings.TrimSpace(subject), strings.TrimLeft(text, "\n"), nil
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
