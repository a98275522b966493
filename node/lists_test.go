package node

import (
	"testing"

	"github.com/national-alliance/alliance/protocol/alert"
	"github.com/national-alliance/alliance/protocol/vocab"
)

// Alerts have rules of their own about categories and actions, and people read
// the code lists: the two agree.
func TestAlertListsAgree(t *testing.T) {
	categories := alert.Categories()
	for _, c := range categories {
		if !vocab.Known(vocab.AlertCategory, string(c.Category)) || vocab.AlertDays(string(c.Category)) != c.MaxDays {
			t.Errorf("%s is valid for %d days, by the list %d", c.Category, c.MaxDays, vocab.AlertDays(string(c.Category)))
		}
	}
	if n := len(vocab.Codes(vocab.AlertCategory)); n != len(categories) {
		t.Errorf("%d categories, by the list %d", len(categories), n)
	}
	for _, a := range alert.Actions() {
		if !vocab.Known(vocab.AlertAction, string(a)) {
			t.Errorf("%s is not in the list", a)
		}
	}
	if n := len(vocab.Codes(vocab.AlertAction)); n != len(alert.Actions()) {
		t.Errorf("%d actions, by the list %d", len(alert.Actions()), n)
	}
}
