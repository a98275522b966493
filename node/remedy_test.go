package node

import (
	"strings"
	"testing"

	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/protocol"
)

// A fault says where what it asks for is to be found: the list of codes, or
// the setting.
func TestFaultsSayWhereToLook(t *testing.T) {
	t.Parallel()
	a, _ := opened(t, func(name string, o *Options) {
		if name == "alpha" {
			o.Config.Desk.Phone = ""
		}
	})
	alpha := a.enrol("alpha", protocol.ClassNGO, "ngo")
	a.enrol("beta", protocol.ClassNGO, "ngo")
	_, err := alpha.refer(t.Context(), referTo("Example beta", func(d map[string]any) {
		d["summary"].(map[string]any)["services"] = []any{"psicosocial"}
	}))
	kind, text := problem(err)
	for _, want := range []string{
		"summary.services[0] (known-code): is no code of the list service: 'alliance codes service' prints them",
		"summary.sender.phone (required): must be given: set it once, as phone under [desk] in alliance.toml, and start the node again",
	} {
		if kind != api.Invalid || !strings.Contains(text, want) {
			t.Errorf("%s: %s\ndoes not say %s", kind, text, want)
		}
	}
}
