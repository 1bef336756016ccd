package reconciliation

import (
	"fmt"
	"strings"
)

// How each event enters the ledger. news is false where nothing here turns on
// it, or where it was known.

func bookPlaced(l *Ledger, e placed, f Fact) (bool, error) {
	lines := make([]Line, 0, len(e.Lines))
	for _, o := range e.Lines {
		if err := check(o.Quantity, o.UnitNet, o.Discount, o.Freight, o.Tax); err != nil {
			return false, fmt.Errorf("line %d: %w", o.Line, err)
		}
		net := int64(o.Quantity)*o.UnitNet - o.Discount
		lines = append(lines, Line{o.Line, o.Quantity, net, net + o.Freight + o.Tax})
	}
	return l.place(f, e.Currency, lines), nil
}

func bookCleared(l *Ledger, _ fraudCleared, f Fact) (bool, error) { return learn(&l.Cleared, f), nil }

func bookAuthorised(l *Ledger, e authorised, f Fact) (bool, error) {
	return e.Outstanding == 0 && learn(&l.Secured, f), nil
}

func bookReceived(l *Ledger, e received, f Fact) (bool, error) {
	secured := e.Outstanding == 0 && learn(&l.Secured, f)
	came, err := l.money(f, e.Currency, e.Amount, "received", e.Receipt, fmt.Sprint(e.Tender))
	return secured || came, err
}

func bookCaptured(l *Ledger, e captured, f Fact) (bool, error) {
	return l.money(f, e.Currency, e.Amount, "captured", e.Capture, fmt.Sprint(e.Tender), e.ShipmentID)
}

func bookRefunded(l *Ledger, e refunded, f Fact) (bool, error) {
	if err := check(0, e.Amount); err != nil {
		return false, err
	}
	return l.money(f, e.Currency, -e.Amount, "refunded", e.Refund, fmt.Sprint(e.Tender), e.Receipt)
}

// money books a movement under what names it, whatever event tells of it.
func (l *Ledger) money(f Fact, currency string, amount int64, name ...string) (bool, error) {
	if amount < -maxAmount || amount > maxAmount {
		return false, fmt.Errorf("an amount of %d", amount)
	}
	l.in(currency)
	return l.move(Movement{f, strings.Join(name, "/"), amount})
}

func bookReserved(l *Ledger, e reserved, f Fact) (bool, error) {
	for _, u := range e.Lines {
		if err := check(u.Quantity); err != nil {
			return false, fmt.Errorf("line %d: %w", u.Line, err)
		}
	}
	return l.promise(f, e.Lines)
}

func bookDispatched(l *Ledger, e dispatched, f Fact) (bool, error) {
	d := Dispatch{Fact: f, Shipment: e.ShipmentID, Value: e.Value, Last: e.Last}
	if err := check(0, e.Value); err != nil {
		return false, err
	}
	for _, p := range e.Lines {
		if err := check(p.Quantity, p.Net, p.Freight, p.Tax); err != nil {
			return false, fmt.Errorf("line %d: %w", p.Line, err)
		}
		d.Parts = append(d.Parts, Part{Units{p.Line, p.Quantity}, p.Net + p.Freight + p.Tax})
	}
	l.in(e.Currency)
	return l.dispatch(d)
}

func bookStopped(l *Ledger, e stopped, f Fact) (bool, error) {
	return learn(&l.Stop, Stop{f, e.Cancelled, e.Dispatched}), nil
}

func bookDecided(l *Ledger, e decided, f Fact) (bool, error) {
	if !e.Accepted {
		return false, nil
	}
	c := Cancellation{Fact: f}
	for _, u := range e.Lines {
		if u.Cancelled > 0 {
			c.Lines = append(c.Lines, Units{u.Line, u.Cancelled})
		}
	}
	return learn(&l.Cancelled, c), nil
}

func bookInvoiced(l *Ledger, e invoiced, f Fact) (bool, error) {
	d, err := document(f, e.Invoice, "", e.Lines)
	if err != nil {
		return false, err
	}
	l.in(e.Currency)
	return l.invoice(d)
}

func bookCredited(l *Ledger, e credited, f Fact) (bool, error) {
	d, err := document(f, e.CreditNote, e.Invoice, e.Lines)
	if err != nil {
		return false, err
	}
	l.in(e.Currency)
	return l.credit(d)
}

func bookVoided(l *Ledger, e voided, f Fact) (bool, error) { return l.void(Void{f, e.Invoice}) }

func document(f Fact, name, of string, lines []billedLine) (Document, error) {
	d := Document{Fact: f, Number: name, Of: of}
	for _, b := range lines {
		if err := check(b.Quantity, b.Net, b.Freight, b.Tax); err != nil {
			return Document{}, fmt.Errorf("document %s, line %d: %w", name, b.Line, err)
		}
		gross := b.Net + b.Freight + b.Tax
		d.Gross += gross
		d.Lines = append(d.Lines, Billed{b.ShipmentID, Units{b.Line, b.Quantity}, b.Net, gross, b.ContentHash})
	}
	return d, nil
}

// check refuses numbers that no order has.
func check(quantity int32, amounts ...int64) error {
	if quantity < 0 || quantity > maxUnits {
		return fmt.Errorf("a quantity of %d", quantity)
	}
	for _, a := range amounts {
		if a < 0 || a > maxAmount {
			return fmt.Errorf("an amount of %d", a)
		}
	}
	return nil
}
