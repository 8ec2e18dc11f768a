package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"cartd/internal/api/openapi"
)

// CARTD_TEST_BROWSER is the program of a Chromium: `make browser` sets it. Without it Debian's is taken, if it is there.
func TestDocsShowEveryOperationInABrowser(t *testing.T) {
	browser := os.Getenv("CARTD_TEST_BROWSER")
	if browser == "" {
		var err error
		if browser, err = exec.LookPath("chromium"); err != nil {
			t.Skipf("*** /docs WAS NOT OPENED IN A BROWSER: CARTD_TEST_BROWSER names none, and %v", err)
		}
	}
	s := openShop(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	args := []string{"--headless=new", "--disable-gpu", "--enable-logging=stderr", "--virtual-time-budget=20000", "--user-data-dir=" + t.TempDir(), "--dump-dom"}
	if os.Geteuid() == 0 {
		args = append(args, "--no-sandbox") // Chromium has none for root
	}
	cmd := exec.CommandContext(ctx, browser, append(args, s.url+"/docs")...)
	var page, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &page, &log
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &log)
	}
	var contract struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(openapi.JSON(), &contract); err != nil {
		t.Fatal(err)
	}
	for path, item := range contract.Paths {
		for method, raw := range item {
			var op struct{ OperationID string }
			if method == "parameters" || json.Unmarshal(raw, &op) != nil {
				continue
			}
			if !strings.Contains(page.String(), "-"+op.OperationID+`"`) { // the id of its block
				t.Errorf("%s %s (%s) is not shown", method, path, op.OperationID)
			}
		}
	}
	for line := range strings.Lines(log.String()) { // what the page's policy has kept from it would be here
		if strings.Contains(line, "CONSOLE") {
			t.Errorf("the browser's console has %s", line)
		}
	}
}
