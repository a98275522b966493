// Package deploy_test holds what is shipped beside the program to what the
// program takes.
package deploy_test

import (
	"encoding"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/national-alliance/alliance/node/config"
)

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The sample sets every setting, to its default, under a comment: so that it is
// the list of what there is.
func TestSample(t *testing.T) {
	text := read(t, "alliance.sample.toml")
	var sample config.Config // not the defaults: what the sample leaves out stays zero
	if err := config.Parse(text, "alliance.sample.toml", &sample); err != nil {
		t.Fatal(err)
	}
	compare(t, text, reflect.ValueOf(sample), reflect.ValueOf(config.Default()))
	if err := config.Parse(strings.Replace(text, "min_free_mb", "min_fre_mb", 1), "x.toml", &sample); err == nil {
		t.Error("a misspelt setting was taken")
	}
	// What is shown commented out must be right too.
	shown := regexp.MustCompile(`(?m)^# ("NODE-ID" = )`).ReplaceAllString(text, "$1")
	shown = strings.Replace(shown, "NODE-ID", strings.Repeat("0a", 32), 1)
	if err := config.Parse(shown, "alliance.sample.toml", &sample); err != nil || len(sample.Peers) != 1 {
		t.Errorf("with its example of a peer: %d peers, %v", len(sample.Peers), err)
	}
}

// compare holds the sample's values to the defaults, table by table.
func compare(t *testing.T, text string, got, want reflect.Value) {
	for i := range got.NumField() {
		key := got.Type().Field(i).Tag.Get("toml")
		line := regexp.MustCompile(`(?m)^#.*\n(` + key + ` = .*|\[` + key + `\])$`)
		if n := len(line.FindAllString(text, -1)); key == "" || n != 1 {
			t.Errorf("%s: %d commented lines set it", key, n)
		}
		g, w := got.Field(i), want.Field(i)
		switch _, isText := g.Interface().(encoding.TextMarshaler); {
		case g.Kind() == reflect.Struct && !isText:
			compare(t, text, g, w)
		case (g.Kind() == reflect.Slice || g.Kind() == reflect.Map) && g.Len()+w.Len() == 0:
		case !reflect.DeepEqual(g.Interface(), w.Interface()):
			t.Errorf("%s: the sample says %v, the default is %v", key, g, w)
		}
	}
}

// directives are those of systemd.unit(5), systemd.service(5), systemd.exec(5),
// systemd.kill(5) and systemd.resource-control(5) that the unit may use, as
// spelled there: systemd passes over a misspelt one with a line in its log, and
// the service runs unprotected.
var directives = map[string]string{
	"Unit":    "Description Documentation Wants After",
	"Install": "WantedBy",
	"Service": "Type User Group ExecStart Restart RestartSec TimeoutStopSec StateDirectory StateDirectoryMode UMask " +
		"LoadCredentialEncrypted MemoryMax MemorySwapMax LimitNOFILE TasksMax LimitCORE CapabilityBoundingSet AmbientCapabilities " +
		"NoNewPrivileges ProtectSystem ProtectHome PrivateTmp PrivateDevices PrivateUsers ProtectClock ProtectControlGroups " +
		"ProtectHostname ProtectKernelLogs ProtectKernelModules ProtectKernelTunables ProtectProc ProcSubset KeyringMode " +
		"LockPersonality MemoryDenyWriteExecute RemoveIPC RestrictAddressFamilies RestrictNamespaces RestrictRealtime " +
		"RestrictSUIDSGID SystemCallArchitectures SystemCallFilter SystemCallErrorNumber",
}

func TestUnit(t *testing.T) {
	unit := unit(t)
	for key := range unit {
		section, name, _ := strings.Cut(key, ".")
		if !slices.Contains(strings.Fields(directives[section]), name) {
			t.Errorf("[%s] %s= is not a directive known here", section, name)
		}
	}
	// Without these a fault of the program would reach further than its folder.
	for key, want := range map[string]string{
		"User": "alliance", "ProtectSystem": "strict", "ProtectHome": "yes", "NoNewPrivileges": "yes", "CapabilityBoundingSet": "",
		"StateDirectory": "alliance", "StateDirectoryMode": "0700", "UMask": "0077", "LimitCORE": "0", "MemorySwapMax": "0",
		"PrivateTmp": "yes", "PrivateDevices": "yes", "MemoryDenyWriteExecute": "yes", "SystemCallArchitectures": "native",
		"RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX AF_NETLINK", // the last to learn its own addresses
	} {
		if got := unit["Service."+key]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s=%q, want %q", key, got, want)
		}
	}
}

// unit reads the unit by systemd.syntax(7), without its line continuations.
func unit(t *testing.T) map[string][]string {
	t.Helper()
	values, section := map[string][]string{}, ""
	for i, line := range strings.Split(read(t, "alliance.service"), "\n") {
		switch key, value, ok := strings.Cut(line, "="); {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		case !ok || strings.TrimSpace(line) != line || strings.HasSuffix(line, `\`):
			t.Errorf("line %d is not read here: %s", i+1, line)
		default:
			values[section+"."+key] = append(values[section+"."+key], value)
		}
	}
	return values
}

// The unit's credential, folder and the settings that speak of them agree.
func TestUnitAgrees(t *testing.T) {
	u := unit(t)
	credential := "/run/credentials/alliance.service/" + strings.Join(u["Service.LoadCredentialEncrypted"], " ")
	for _, name := range []string{"alliance.sample.toml", "README.md"} {
		if !strings.Contains(read(t, name), credential) {
			t.Errorf("%s does not say %s", name, credential)
		}
	}
	folder := "/var/lib/" + strings.Join(u["Service.StateDirectory"], " ")
	if exec := strings.Join(u["Service.ExecStart"], " "); exec != "/usr/local/bin/alliance daemon --dir "+folder {
		t.Errorf("ExecStart=%s", exec)
	}
}

// The image is one file that runs as nobody.
func TestContainerfile(t *testing.T) {
	text := read(t, "Containerfile")
	stages := regexp.MustCompile(`(?m)^FROM `).Split(text, -1)
	last := stages[len(stages)-1]
	if !strings.HasPrefix(last, "scratch\n") || strings.Contains(last, "\nRUN ") {
		t.Error("the last stage is not from scratch")
	}
	for _, want := range []string{`(?m)^USER [1-9][0-9]*:[1-9][0-9]*$`, `(?m)^ENTRYPOINT \["/alliance"\]$`, `(?m)^CMD \["daemon", "--dir", "/var/lib/alliance"\]$`,
		`(?m)^VOLUME /var/lib/alliance$`, `(?m)^EXPOSE 4410/tcp 4410/udp$`} {
		if !regexp.MustCompile(want).MatchString(last) {
			t.Errorf("the last stage has no line %s", want)
		}
	}
	if !strings.Contains(text, "CGO_ENABLED=0 go build -trimpath") || !strings.Contains(text, "--read-only --cap-drop=all") {
		t.Error("the program is not built static, or not shown run with a read-only root")
	}
}
