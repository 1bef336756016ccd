package notification

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	netmail "net/mail"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"troupe/topology"
)

// defaultTimeout bounds one delivery. It must stay below the time that the
// runtime gives an attempt, or a server that is merely slow ends as UNKNOWN.
const defaultTimeout = 5 * time.Second

// Config says how mail leaves.
type Config struct {
	Addr    string        // host:port of the mail server
	From    string        // the sender; its domain makes the Message-IDs
	TLS     bool          // insist on STARTTLS; without it, nothing is encrypted
	Timeout time.Duration // of one delivery, from the connection on; 0: 5 s

	Dial func(ctx context.Context, network, address string) (net.Conn, error) // nil: the network
}

// Gateway sends mail through SMTP. It is safe for concurrent use.
type Gateway struct {
	directory *Directory
	host      string
	options   []mail.Option
	connect   mail.DialContextFunc
	letters   letters
	from      *netmail.Address
	domain    string
	attempts  *attempts
}

// NewGateway checks the configuration; it does not connect.
func NewGateway(c Config, directory *Directory) (*Gateway, error) {
	from, err := netmail.ParseAddress(c.From)
	if err != nil {
		return nil, fmt.Errorf("parse sender %q: %w", c.From, err)
	}
	host, port, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return nil, fmt.Errorf("parse mail server address: %w", err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, fmt.Errorf("parse port of mail server %s: %w", c.Addr, err)
	}
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	policy := mail.NoTLS
	if c.TLS {
		policy = mail.TLSMandatory
	}
	options := []mail.Option{mail.WithPort(n), mail.WithTLSPolicy(policy), mail.WithTimeout(c.Timeout)}
	if _, err := mail.NewClient(host, options...); err != nil {
		return nil, fmt.Errorf("configure mail client for %s: %w", c.Addr, err)
	}
	l, err := readLetters()
	if err != nil {
		return nil, err
	}
	domain := from.Address[strings.LastIndexByte(from.Address, '@')+1:]
	return &Gateway{
		directory: directory, host: host, options: options, connect: c.Dial, letters: l, from: from, domain: domain, attempts: newAttempts(),
	}, nil
}

// Send implements Mailer. The runtime sets Again after every error and every
// restart, so Again alone does not say whether a mail went out; what this
// process remembers of the attempt before does. Without that memory the mail may
// be with the server, and it stays UNKNOWN rather than be sent twice.
func (g *Gateway) Send(ctx context.Context, call topology.Call, r sendRequest) (mailAnswered, error) {
	if call.Again {
		before, known := g.attempts.before(call)
		switch {
		case known && before != nil: // the mail was settled, but its answer did not reach the inbox
			g.attempts.note(call, before)
			return *before, nil
		case !known:
			return g.answer(call, r, unknown, "an earlier attempt may have reached the mail server"), nil
		}
	}
	status, reason, err := g.try(ctx, call, r)
	switch {
	case err == nil:
		return g.answer(call, r, status, reason), nil
	case call.Last:
		return g.answer(call, r, failed, "given up: "+err.Error()), nil
	}
	g.attempts.note(call, nil)
	return mailAnswered{}, err
}

func (g *Gateway) answer(call topology.Call, r sendRequest, status, reason string) mailAnswered {
	a := mailAnswered{
		Template: r.Template, FactID: r.FactID, CustomerID: r.CustomerID,
		MessageID: "<" + g.messageID(r) + ">", Status: status, Reason: reason,
	}
	g.attempts.note(call, &a)
	return a
}

// messageID is derived from the fact, so that a mail whose fate is unknown can
// be looked for, and a server that drops repeats can.
func (g *Gateway) messageID(r sendRequest) string { return r.FactID + "@" + g.domain }

// try makes one attempt. Neither reason nor error may say who the customer is.
func (g *Gateway) try(ctx context.Context, call topology.Call, r sendRequest) (status, reason string, err error) {
	p, ok := g.directory.find(call.Envelope.Tenant, r.CustomerID)
	switch {
	case !ok:
		return "", "", errors.New("nobody is recorded under the customer's ID")
	case p.erased:
		return suppressed, "erased", nil
	}
	to, err := netmail.ParseAddress(p.email)
	if err != nil {
		return failed, "what is recorded of the customer is no mail address", nil
	}
	subject, text, err := g.letters.write(r, p.name)
	if err != nil {
		return failed, err.Error(), nil
	}
	body, err := g.compose(call, r, &netmail.Address{Name: oneLine(p.name), Address: to.Address}, subject, text)
	if err != nil {
		return failed, err.Error(), nil
	}
	return g.deliver(ctx, to, body)
}

// compose makes the whole mail before the server is called: what failed half-way
// through DATA would leave half a mail on the wire.
func (g *Gateway) compose(call topology.Call, r sendRequest, to *netmail.Address, subject, text string) ([]byte, error) {
	m := mail.NewMsg(mail.WithNoDefaultUserAgent())
	m.FromMailAddress(g.from)
	m.ToMailAddress(to)
	m.Subject(subject)
	m.SetDateWithValue(call.Now)
	m.SetMessageIDWithValue(g.messageID(r))
	// RFC 3834: keeps the recipient's absence from answering a machine.
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetBodyString(mail.TypeTextPlain, text)
	var b bytes.Buffer
	if _, err := m.WriteTo(&b); err != nil {
		return nil, fmt.Errorf("compose mail %s: %w", r.Template, err)
	}
	return b.Bytes(), nil
}

// deliver hands one mail over. go-mail's own Send does not tell "accepted, then
// the good-bye failed" from "refused", and does not stop with the context, so the
// steps of the dialogue are made here.
func (g *Gateway) deliver(ctx context.Context, to *netmail.Address, body []byte) (status, reason string, err error) {
	c, hangUp, err := g.dial(ctx)
	defer hangUp()
	if err != nil {
		return "", "", fmt.Errorf("connect to the mail server: %w", err)
	}
	if err := c.Mail(path(g.from)); err != nil {
		return refusal("the sender", err)
	}
	if err := c.Rcpt(path(to)); err != nil {
		return refusal("the recipient", err)
	}
	w, err := c.Data()
	if err != nil {
		return refusal("to take a mail", err)
	}
	if _, err := w.Write(body); err != nil {
		// The line that ends the mail was not sent, so no server may take it.
		return "", "", fmt.Errorf("send the mail's text: %w", err)
	}
	if err := w.Close(); err != nil {
		if code, _ := reply(err); code == 0 {
			return unknown, "the connection was lost before the server said whether it took the mail", nil
		}
		return refusal("the mail", err)
	}
	_ = c.Quit() // the mail is the server's by now, whatever becomes of the connection
	return sent, "", nil
}

// dial connects and greets. A server that refuses the greeting refuses us, not
// this mail: that is tried again, as if it were not there. hangUp is never nil:
// go-mail leaves the connection open when a greeting fails.
func (g *Gateway) dial(ctx context.Context) (c *smtp.Client, hangUp func(), err error) {
	hangUp = func() {}
	connect := func(dialing context.Context, network, addr string) (net.Conn, error) {
		conn, err := g.connect(dialing, network, addr)
		if err != nil {
			return nil, err
		}
		// A worker that stops must not wait for a server that says nothing.
		stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
		hangUp = func() { stop(); _ = conn.Close() }
		return conn, nil
	}
	client, err := mail.NewClient(g.host, append(slices.Clip(g.options), mail.WithDialContextFunc(connect))...)
	if err != nil {
		return nil, hangUp, err
	}
	c, err = client.DialToSMTPClientWithContext(ctx)
	return c, hangUp, err
}

// path is an address as the dialogue wants it, without the name.
func path(a *netmail.Address) string { return (&netmail.Address{Address: a.Address}).String() }

// refusal sorts the server's no: for good (5xx), or for now (4xx, or no reply).
// Of a reply it keeps the codes alone, since its text likes to quote the address.
func refusal(what string, err error) (string, string, error) {
	code, words := reply(err)
	switch code / 100 {
	case 5:
		return failed, "the mail server refused " + what + ": " + words, nil
	case 4:
		return "", "", fmt.Errorf("the mail server refused %s for now: %s", what, words)
	}
	return "", "", fmt.Errorf("talk to the mail server about %s: %w", what, err)
}

// reply is the server's error code and its enhanced code (RFC 2034), 0 where the
// server said nothing that ends a command.
func reply(err error) (code int, words string) {
	var e *textproto.Error
	if !errors.As(err, &e) || e.Code < 400 || e.Code > 599 {
		return 0, ""
	}
	words = strconv.Itoa(e.Code)
	enhanced, _, _ := strings.Cut(e.Msg, " ")
	if strings.Count(enhanced, ".") == 2 && strings.Trim(enhanced, "0123456789.") == "" {
		words += " " + enhanced
	}
	return e.Code, words
}
