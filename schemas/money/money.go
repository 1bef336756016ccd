// Package money does the arithmetic of amounts: integers in minor units of an
// ISO 4217 currency, no floats anywhere.
package money

import (
	"fmt"
	"strconv"
	"strings"
)

// exponents are the currencies whose minor unit is not a hundredth (ISO 4217).
var exponents = map[string]int{
	"BHD": 3, "BIF": 0, "CLF": 4, "CLP": 0, "DJF": 0, "GNF": 0, "IQD": 3, "ISK": 0, "JOD": 3, "JPY": 0, "KMF": 0,
	"KRW": 0, "KWD": 3, "LYD": 3, "OMR": 3, "PYG": 0, "RWF": 0, "TND": 3, "UGX": 0, "UYI": 0, "UYW": 4, "VND": 0,
	"VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
}

// Exponent is how many decimals the currency's minor unit has.
func Exponent(currency string) int {
	if e, ok := exponents[currency]; ok {
		return e
	}
	return 2
}

// Format writes an amount for people: "267.21 BRL".
func Format(minor int64, currency string) string {
	sign := ""
	if minor < 0 {
		sign = "-"
	}
	digits := strings.TrimPrefix(strconv.FormatInt(minor, 10), "-")
	e := Exponent(currency)
	if e == 0 {
		return sign + digits + " " + currency
	}
	for len(digits) <= e {
		digits = "0" + digits
	}
	return sign + digits[:len(digits)-e] + "." + digits[len(digits)-e:] + " " + currency
}

// Parse reads a decimal amount exactly; more digits than the currency has, or
// anything that is no number, is an error.
func Parse(text, currency string) (int64, error) {
	whole, part, _ := strings.Cut(text, ".")
	e := Exponent(currency)
	if len(part) > e {
		return 0, fmt.Errorf("amount %q has more than the %d decimals of %s", text, e, currency)
	}
	minor, err := strconv.ParseInt(whole+part+strings.Repeat("0", e-len(part)), 10, 64)
	if err != nil || whole == "" || strings.HasPrefix(part, "-") || strings.HasPrefix(part, "+") {
		return 0, fmt.Errorf("amount %q is no decimal number", text)
	}
	return minor, nil
}

// Share is what units k+1 … m of n have of a total: round(total·m/n) −
// round(total·k/n), half away from zero. Shares that follow each other add up
// to the total without knowing those to come.
func Share(total int64, k, m, n int32) int64 {
	return portion(total, m, n) - portion(total, k, n)
}

func portion(total int64, m, n int32) int64 {
	if n == 0 {
		return 0
	}
	twice := 2 * total * int64(m)
	if twice >= 0 {
		return (twice + int64(n)) / (2 * int64(n))
	}
	return -((-twice + int64(n)) / (2 * int64(n)))
}
