// The dev server of the Temporal CLI without the rest of the CLI.
//
// `prepare` builds this file inside a copy of the CLI's module, so the server is the CLI's own
// package, unchanged: same settings as `temporal server start-dev --headless --db-filename FILE`.
// The CLI itself cannot be built from the Go module proxy, because its module replaces a
// requirement by a directory that the proxy does not carry.
//
// Usage: devserver PORT DATABASE_FILE [PRAGMA=VALUE ...]. It serves until it gets SIGTERM.
package main

import (
	"log"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/google/uuid"

	"github.com/temporalio/cli/internal/devserver"
)

// Above every level: what the CLI does for `--log-level never`.
const logNothing = slog.Level(100)

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: devserver PORT DATABASE_FILE [PRAGMA=VALUE ...]")
	}
	pragmas := map[string]string{}
	for _, word := range os.Args[3:] {
		name, value, found := strings.Cut(word, "=")
		if !found {
			log.Fatalf("not PRAGMA=VALUE: %s", word)
		}
		pragmas[name] = value
	}
	port, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatalf("bad port: %v", err)
	}
	server, err := devserver.Start(devserver.StartOptions{
		FrontendIP:             "127.0.0.1",
		FrontendPort:           port,
		Namespaces:             []string{"default"},
		Logger:                 slog.New(slog.NewTextHandler(os.Stderr, nil)),
		LogLevel:               logNothing,
		DatabaseFile:           os.Args[2],
		SqlitePragmas:          pragmas,
		ClusterID:              uuid.NewString(),
		MasterClusterName:      "active",
		CurrentClusterName:     "active",
		InitialFailoverVersion: 1,
		// What the CLI sets for its dev server.
		DynamicConfigValues: map[string]any{
			"system.forceSearchAttributesCacheRefreshOnRead": true,
			"system.forceNexusEndpointRefreshOnRead":         true,
			"frontend.persistenceMaxQPS":                     10000,
			"history.persistenceMaxQPS":                      45000,
		},
	})
	if err != nil {
		log.Fatalf("start: %v", err)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
	server.SuppressWarnings()
	server.Stop()
}
