package world

import (
	"fmt"
	"io"
	"net/mail"

	"github.com/emersion/go-smtp"
)

// postOffice is the mail server: it keeps the Message-IDs, and how often each
// came.
type postOffice struct{ world *World }

func (p postOffice) NewSession(*smtp.Conn) (smtp.Session, error) { return delivery(p), nil }

type delivery struct{ world *World }

func (delivery) Reset()                               {}
func (delivery) Logout() error                        { return nil }
func (delivery) Mail(string, *smtp.MailOptions) error { return nil }
func (delivery) Rcpt(string, *smtp.RcptOptions) error { return nil }

func (d delivery) Data(r io.Reader) error {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return fmt.Errorf("read mail: %w", err)
	}
	id := m.Header.Get("Message-Id")
	if id == "" {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: "a mail without a Message-ID"}
	}
	if _, err := io.Copy(io.Discard, m.Body); err != nil {
		return fmt.Errorf("read mail: %w", err)
	}
	d.world.mu.Lock()
	defer d.world.mu.Unlock()
	d.world.mails[id]++
	return d.world.journal.add(entry{Mail: id})
}
