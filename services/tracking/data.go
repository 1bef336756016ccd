package tracking

// The data of each section, computed from its facts in their order.

func orderData(facts []fact) OrderData {
	d := OrderData{State: state(facts), Lines: []OrderLine{}}
	gone := map[int32]int32{}
	for _, f := range facts {
		switch e := f.body.(type) {
		case placed:
			d.Channel, d.ChannelOrder, d.CustomerID, d.PromisedBy = e.Channel, e.ChannelOrder, e.CustomerID, e.PromisedBy.UTC()
			d.Total, d.Lines = total(e), lines(e)
		case rejected:
			d.Channel, d.ChannelOrder, d.Refusal = e.Channel, e.ChannelOrder, e.Reason
		case cancelled:
			for _, l := range e.Lines {
				gone[l.Line] += l.Quantity
			}
		}
	}
	for i := range d.Lines {
		d.Lines[i].Cancelled = gone[d.Lines[i].Line]
	}
	return d
}

func total(e placed) *Money {
	m := &Money{Currency: e.Currency}
	for _, l := range e.Lines {
		m.Minor += int64(l.Quantity)*l.UnitNet - l.Discount + l.Freight + l.Tax
	}
	return m
}

func lines(e placed) []OrderLine {
	made := make([]OrderLine, 0, len(e.Lines))
	for _, l := range e.Lines {
		made = append(made, OrderLine{Line: l.Line, SKU: l.SKU, Quantity: l.Quantity})
	}
	return made
}

func paymentData(facts []fact) PaymentData {
	d := PaymentData{Totals: []PaymentTotal{}}
	for _, f := range facts {
		e, ok := f.body.(paid)
		if !ok {
			continue
		}
		t := d.in(e.Currency)
		switch f.event {
		case "PaymentPending":
			t.Expected = e.Amount // the whole that is awaited, said anew: not a part
		case "PaymentAuthorized":
			t.Authorized += e.Amount
		case "PaymentReceived":
			t.Received += e.Amount
		case "PaymentCaptured":
			t.Captured += e.Amount
		case "PaymentVoided":
			t.Voided += e.Amount
		case "PaymentRefunded":
			t.Refunded += e.Amount
		}
	}
	return d
}

// in is the total of a currency.
func (d *PaymentData) in(currency string) *PaymentTotal {
	for i := range d.Totals {
		if d.Totals[i].Currency == currency {
			return &d.Totals[i]
		}
	}
	d.Totals = append(d.Totals, PaymentTotal{Currency: currency})
	return &d.Totals[len(d.Totals)-1]
}

func shipmentsData(facts []fact) []ShipmentData {
	var all []ShipmentData
	for _, id := range subjects(facts) {
		all = append(all, shipmentData(id, about(facts, id)))
	}
	return all
}

func shipmentData(id string, facts []fact) ShipmentData {
	d := ShipmentData{ShipmentID: id, State: state(facts), Lines: []ShipmentLine{}}
	left := false
	for _, f := range facts {
		if n := f.tracking(); n != "" {
			d.TrackingNumber = n
		}
		switch e := f.body.(type) {
		case planned:
			d.Replaces = e.Replaces
			if !left { // what left is what counts, whatever time the plan bears
				d.plan(e.Lines, e.Value, e.Currency)
				d.PromisedBy = e.PromisedBy.UTC()
			}
		case dispatched:
			left = true
			d.plan(e.Lines, e.Value, e.Currency)
			d.Carrier, d.PromisedBy = e.Carrier, e.PromisedBy.UTC()
		}
	}
	return d
}

func (d *ShipmentData) plan(lines []shipmentLine, value int64, currency string) {
	d.Value = &Money{value, currency}
	d.Lines = []ShipmentLine{}
	for _, l := range lines {
		d.Lines = append(d.Lines, ShipmentLine(l))
	}
}

func invoicesData(facts []fact) []InvoiceData {
	var all []InvoiceData
	for _, number := range subjects(facts) {
		all = append(all, invoiceData(number, about(facts, number)))
	}
	return all
}

func invoiceData(number string, facts []fact) InvoiceData {
	d := InvoiceData{Invoice: number, State: state(facts)}
	for _, f := range facts {
		switch e := f.body.(type) {
		case invoiced:
			d.IssuedAt = f.at
			d.Net, d.Tax, d.Freight = &Money{e.Net, e.Currency}, &Money{e.Tax, e.Currency}, &Money{e.Freight, e.Currency}
		case credited:
			d.Credits = append(d.Credits, CreditData{e.CreditNote, Money{e.Net, e.Currency}, Money{e.Tax, e.Currency}, Money{e.Freight, e.Currency}})
		}
	}
	return d
}

func cancellationData(facts []fact) CancellationData {
	d := CancellationData{State: state(facts)}
	for _, f := range facts {
		if e, ok := f.body.(decided); ok {
			d.Lines = nil
			for _, l := range e.Lines {
				d.Lines = append(d.Lines, CancellationLine(l))
			}
		}
	}
	return d
}
