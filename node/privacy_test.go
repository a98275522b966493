package node

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/national-alliance/alliance/crypto"
	"github.com/national-alliance/alliance/node/api"
	"github.com/national-alliance/alliance/node/casebook"
	"github.com/national-alliance/alliance/node/membership"
	"github.com/national-alliance/alliance/node/replica"
	"github.com/national-alliance/alliance/protocol"
	"github.com/national-alliance/alliance/protocol/alert"
	"github.com/national-alliance/alliance/protocol/register"
)

// lines keeps what is logged, at every level.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// marked are texts that occur nowhere but in what people write here: a name, a
// place, a story. All invented.
var marked = struct{ name, carer, place, story, message, headline, staff, typed, wrong string }{
	name: "Quendrith", carer: "Vossanelle", place: "Umbrelstrasse", story: "Zimtwolke", message: "Glasmurmel",
	headline: "Perlfarn", staff: "desk-xylo-9", typed: "Brauselimo", wrong: "Kupferdrossel"}

func lacks(t *testing.T, where, text string, secrets map[string]string) {
	t.Helper()
	folded := strings.ToLower(text)
	for what, s := range secrets {
		i := strings.Index(text, s)
		if i < 0 && !strings.Contains(folded, strings.ToLower(s)) {
			continue
		}
		around := ""
		if i >= 0 {
			around = text[strings.LastIndexByte(text[:i], '\n')+1 : i]
		}
		t.Errorf("%s holds %s, after %.300q", where, what, around)
	}
}

const markedCAP = `<?xml version="1.0" encoding="UTF-8"?>
<alert xmlns="urn:oasis:names:tc:emergency:cap:1.2"><identifier>example-%[1]s</identifier><sender>secretariat@alliance.example</sender><sent>%[2]s</sent>
<status>Exercise</status><msgType>Alert</msgType><scope>Restricted</scope><restriction>TLP:AMBER</restriction>%[5]s<note>EXERCISE: invented</note>
<info><language>en-IN</language><category>Safety</category><event>Fake helpline</event><urgency>Future</urgency><severity>Minor</severity><certainty>Possible</certainty>
<eventCode><valueName>ALLIANCE-CAT</valueName><value>fake-helpline</value></eventCode><effective>%[2]s</effective><expires>%[3]s</expires><senderName>Example</senderName>
<headline>EXERCISE %[4]s</headline><description>EXERCISE, invented: %[4]s.</description><instruction>None: %[4]s</instruction>
<area><areaDesc>Example</areaDesc><geocode><valueName>LGD-STATE</valueName><value>9</value></geocode></area></info></alert>`

// A whole run at the lowest level of logging, with all that goes wrong on the
// way: no text of a record, no name, no passphrase and no key is in a log, in
// status, in an error, in a file's name, nor readable in a file.
func TestNothingIsTold(t *testing.T) {
	t.Parallel()
	var log lines
	pass := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(pass, []byte(marked.wrong+" of beta\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	restarted := false
	a, sec := opened(t, func(name string, o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})).With("at", name)
		o.Config.RepairEvery.Duration = time.Second
		if name == "beta" && restarted {
			o.Config.PassphraseFile = pass
		}
	})
	alpha, beta, police := a.enrol("alpha", protocol.ClassNGO, "ngo"), a.enrol("beta", protocol.ClassNGO, "ngo"), a.enrol("gamma", protocol.ClassPolice, "sjpu")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()

	secrets := map[string]string{"the passphrase": passphrase, "a name": marked.name, "a carer's name": marked.carer, "an address": marked.place, "a referral's text": marked.story,
		"a message": marked.message, "an alert's text": marked.headline, "a pseudonym": marked.staff, "what a person typed": marked.typed, "a wrong passphrase": marked.wrong}
	key := func(what string, b []byte) {
		secrets[what+" in hex"] = hex.EncodeToString(b)
		secrets[what+" in base64"] = strings.TrimRight(base64.StdEncoding.EncodeToString(b), "=")
		secrets[what+" in base64url"] = base64.RawURLEncoding.EncodeToString(b)
		secrets[what+" as numbers"] = strings.Trim(fmt.Sprint(b[:8]), "[]")
		secrets[what+" as it is"] = string(b)
	}
	keys := func(n *running) {
		for what, k := range map[string]crypto.PrivateKey{"author": n.keys.Author, "transport": n.keys.Transport, "checkpoint": n.sign} {
			if !k.IsZero() {
				key(n.id.Node.Short()+"'s "+what+" key", k.Seed())
			}
		}
		key("a store key", append([]byte(nil), n.keys.StoreKey[:]...))
		key("a raft key", append([]byte(nil), n.keys.RaftKey[:]...))
		secrets["a sealing key of "+n.id.Node.Short()] = n.keys.Sealing.Secret()
		ids, _ := n.ring.Identities()
		for _, id := range ids {
			secrets["a reading identity of "+n.id.Node.Short()] = id.Secret()
		}
	}
	nodes := []*running{sec, alpha, beta, police}
	for _, n := range nodes {
		keys(n)
	}
	for i, k := range append(a.officers, a.admin) {
		key(fmt.Sprint("officer's key ", i), k.Key.Seed())
	}
	ticket, err := sec.Invite(ctx, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	key("a ticket's token", ticket.Token[:])

	var told strings.Builder // errors and status, which people may paste anywhere
	failing := func(err error) {
		t.Helper()
		if err == nil {
			t.Error("what should fail did not")
			return
		}
		fmt.Fprintln(&told, err)
		if e, ok := err.(*api.Error); ok {
			fmt.Fprintln(&told, e.Faults)
		}
	}
	draft := func(to string, change ...func(map[string]any)) json.RawMessage {
		return referTo(to, append([]func(map[string]any){func(d map[string]any) {
			d["recipients"] = append(d["recipients"].([]any), map[string]any{"organisation": "Example gamma", "services": []any{"psychosocial"}, "parts": []any{"identity", "evidence"}})
			c := d["case"].(map[string]any)
			c["request"], c["living_with"] = "Invented: "+marked.story, marked.carer
			d["identity"] = map[string]any{"names": []any{marked.name}, "address": "1 " + marked.place, "carer": map[string]any{"name": marked.carer},
				"safe_contact": map[string]any{"who": marked.carer, "channel": "phone", "phone": "1800 000 111"}}
			d["evidence"] = map[string]any{"urls": []any{"https://" + marked.story + ".example/"}, "note": marked.story}
		}}, change...)...)
	}
	do := func(at *running, method, path string, body any) error {
		return at.client().Do(ctx, method, path, body, nil)
	}

	// What goes well.
	r, err := api.Ask[casebook.Result](ctx, alpha.client(), "POST", "/referrals", map[string]any{"draft": draft("Example beta"), "staff": marked.staff})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the referral", func() bool { return beta.sees(t) == 1 && police.sees(t) == 1 })
	at := "/referrals/" + string(r.Code)
	if err := do(beta, "POST", at+"/moves/message", map[string]any{"staff": marked.staff, "say": map[string]any{"text": "Invented: " + marked.message}}); err != nil {
		t.Fatal(err)
	}
	if err := do(alpha, "POST", at+"/amend", map[string]any{"reason": marked.message, "changes": map[string]any{"case": map[string]any{"request": marked.story + " again"}}}); err != nil {
		t.Fatal(err)
	}
	sent, err := alert.DateTimeOf(time.Now().Unix(), 330)
	if err != nil {
		t.Fatal(err)
	}
	expires, err := alert.DateTimeOf(time.Now().Add(72*time.Hour).Unix(), 330)
	if err != nil {
		t.Fatal(err)
	}
	cap := func(id, code string) string {
		return fmt.Sprintf(markedCAP, id, sent, expires, marked.headline, code)
	}
	if err := do(sec, "POST", "/alerts", map[string]any{"cap": cap("1", "<code>fake-helpline</code>"), "staff": marked.staff}); err != nil {
		t.Fatal(err)
	}
	until(t, "the alert", func() bool {
		l, err := api.Ask[casebook.AlertList](ctx, beta.client(), "GET", "/alerts", nil)
		return err == nil && l.Total == 1
	})

	// What goes wrong.
	failing(do(alpha, "POST", "/referrals", map[string]any{"draft": draft("Example beta", func(d map[string]any) {
		d["summary"].(map[string]any)["child"].(map[string]any)["case_code"] = marked.name
		d["case"].(map[string]any)["request"] = marked.story + " https://" + marked.story + ".example"
		d["identity"].(map[string]any)["birth"] = marked.place
	})}))
	failing(do(alpha, "POST", "/referrals", map[string]any{"draft": draft("Example beta", func(d map[string]any) { d["case"].(map[string]any)["done"] = marked.story })}))
	failing(do(alpha, "POST", "/referrals", map[string]any{"draft": marked.story}))
	failing(do(alpha, "POST", at+"/amend", map[string]any{"reason": "", "changes": map[string]any{"identity": map[string]any{"birth": marked.place}}}))
	failing(do(beta, "POST", at+"/moves/accept", map[string]any{"staff": strings.Repeat(marked.staff, 20), "say": map[string]any{"services": marked.message}}))
	failing(do(beta, "POST", at+"/moves/complete", map[string]any{"say": map[string]any{"outcome": marked.message, "text": marked.story}}))
	failing(do(sec, "POST", "/alerts", map[string]any{"cap": cap("2", "")[:300]}))
	if err := do(sec, "POST", "/alerts", map[string]any{"cap": strings.Replace(cap("3", ""), "Exercise", marked.headline, 1)}); err == nil {
		t.Error("an alert of no status is issued") // a code that is none may be repeated, to who wrote it
	}
	failing(do(alpha, "POST", "/unlock", api.Passphrase{Passphrase: marked.wrong}))
	for _, path := range []string{"/referrals/" + marked.typed, "/alerts/" + marked.typed, "/orgs/" + marked.typed, "/" + marked.typed} {
		if err := do(alpha, "GET", path, nil); err == nil { // it may repeat what was typed, to who typed it
			t.Errorf("%s is there", path)
		}
	}
	if err := do(alpha, "POST", "/"+marked.typed, marked.typed); err == nil {
		t.Error("it is there")
	}
	d := example(beta, sec)
	d.Contents = []protocol.Content{{Kind: "referral/message", Time: time.Now().Unix(), Staff: marked.staff, Body: []byte(marked.message)}}
	other := example(beta, sec)
	other.Contents = []protocol.Content{{Kind: "test/" + marked.message, Time: time.Now().Unix(), Staff: marked.staff, Body: []byte(marked.message)}}
	for _, d := range []replica.Draft{d, other} {
		if _, err := alpha.rep.Send(ctx, d); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "what makes no sense", func() bool { return beta.book.Status().Malformed == 1 && outstanding(t, alpha) == 0 })
	for _, proto := range []string{membership.ProtoRegister, replica.ProtoFetch, replica.ProtoReceipt, "/alliance/" + marked.typed + "/1"} {
		alpha.tr.Call(ctx, sec.ID(), proto, []byte(marked.message))
	}

	// Away, damaged, locked, suspended.
	feed := feedIDOf(t, beta, "Example alpha")
	a.stop("beta")
	loseRow(t, beta.dir, append(append([]byte{'r'}, feed[:]...), 0, 0, 0, 0, 0, 0, 0, 2, 0))
	if err := do(alpha, "POST", at+"/amend", map[string]any{"reason": "invented", "changes": map[string]any{"case": map[string]any{"request": marked.story + " once more"}}}); err != nil {
		t.Fatal(err)
	}
	restarted = true
	beta = a.again("beta")
	failing(do(beta, "GET", at, nil))
	until(t, "the record is back", func() bool { rec, err := beta.store.Record(feed, 2); return err == nil && rec != nil })
	if err := beta.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	until(t, "all shown", func() bool { return beta.sees(t) == 1 })
	if err := beta.Lock(); err != nil {
		t.Fatal(err)
	}
	if err := beta.Unlock(passphrase); err != nil {
		t.Fatal(err)
	}
	until(t, "they are connected", func() bool { return police.tr.Connected(sec.ID()) })
	if err := a.op(ctx, sec, register.OfOrg(police.Org()), register.Suspend{}, a.officers[0]); err != nil {
		t.Fatal(err)
	}
	until(t, "all know", func() bool { return alpha.reg.State().Size() == sec.reg.State().Size() })
	failing(do(alpha, "POST", "/referrals", map[string]any{"draft": draft("Example beta")}))

	for _, n := range []*running{sec, alpha, beta, police} {
		b, err := api.Ask[json.RawMessage](ctx, n.client(), "GET", "/status", nil)
		if err != nil {
			t.Fatal(err)
		}
		told.Write(b)
	}
	for _, name := range []string{"sec", "alpha", "beta", "gamma"} {
		a.stop(name)
	}

	text := log.String()
	for _, want := range []string{"level=WARN", "level=INFO", "not unlocked at start", "at=beta"} {
		if !strings.Contains(text, want) {
			t.Errorf("the log has no %q: not all of it is here", want)
		}
	}
	lacks(t, "the log", text, secrets)
	lacks(t, "an error or status", told.String(), secrets)
	if err := filepath.WalkDir(a.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		in := strings.TrimPrefix(path, a.dir)
		lacks(t, "a file's name", in, secrets)
		if !e.Type().IsRegular() || strings.Contains(in, "/keys/") {
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		lacks(t, in, string(b), secrets)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
