// Command image makes a container image of cartd, on a machine that has Go and nothing else: no Docker, no registry, no
// root.
//
//	image --version v1 --tag cartd:devel --out bin
//
// builds cartd as .ko.yaml says, with ko as a library, on a base that is made here (base.go), and writes
//
//	bin/image/        the image for all platforms, an OCI layout: `skopeo copy oci:bin/image …`, `crane push bin/image …`
//	bin/image.tar     the one for this machine's processor: `docker load`, `kind load image-archive`, `ctr images import`
//	bin/image-sbom/   what is in it, SPDX
//
// --push registry.example/shop/cartd:v1 also sends it to a registry, with the credentials that Docker's configuration
// has. The same sources, version and SOURCE_DATE_EPOCH make the same digest with the same release of Go, on any
// machine: `make image-check`.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/match"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func main() {
	dir := flag.String("dir", ".", "directory of cartd's sources, with .ko.yaml")
	out := flag.String("out", "bin", "directory that image/, image.tar and image-sbom/ are written to")
	version := flag.String("version", "devel", "version that cartd says it is")
	tag := flag.String("tag", "cartd:devel", "name of the image in image.tar")
	push := flag.String("push", "", "name with a tag in a registry that the image is sent to; empty: to none")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *dir, *out, *version, *tag, *push); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir, out, version, tag, push string) error {
	named, err := name.NewTag(tag)
	if err != nil {
		return fmt.Errorf("--tag: %w", err)
	}
	var to name.Tag
	if push != "" {
		if to, err = name.NewTag(push); err != nil { // before minutes are spent
			return fmt.Errorf("--push: %w", err)
		}
	}
	for _, old := range []string{layoutDir, tarName, sbomDir} {
		if err := os.RemoveAll(filepath.Join(out, old)); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(filepath.Join(out, sbomDir), 0o755); err != nil {
		return err
	}
	index, err := buildIndex(ctx, dir, version, filepath.Join(out, sbomDir))
	if err != nil {
		return fmt.Errorf("build: %w", err)
	}
	if err := write(index, out, named); err != nil {
		return err
	}
	digest, err := index.Digest()
	if err != nil {
		return err
	}
	fmt.Println(digest)
	if push == "" {
		return nil
	}
	if err := send(ctx, index, to); err != nil {
		return err
	}
	fmt.Printf("%s@%s\n", to, digest)
	return nil
}

// send pushes an image, with the credentials that Docker's configuration has.
func send(ctx context.Context, index v1.ImageIndex, to name.Tag) error {
	if err := remote.WriteIndex(to, index, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return fmt.Errorf("push: %w", err)
	}
	return nil
}

// What is written.
const (
	layoutDir = "image"
	tarName   = "image.tar"
	sbomDir   = "image-sbom"
)

// write writes the layout of all platforms and the tarball of this machine's.
func write(index v1.ImageIndex, out string, tag name.Tag) error {
	to, err := layout.Write(filepath.Join(out, layoutDir), empty.Index)
	if err != nil {
		return fmt.Errorf("write the layout: %w", err)
	}
	if err := to.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag.TagStr()})); err != nil {
		return fmt.Errorf("write the layout: %w", err)
	}
	here, err := partial.FindImages(index, match.Platforms(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
	if err != nil {
		return err
	}
	if len(here) == 0 {
		return nil // .ko.yaml does not build for this processor
	}
	if err := tarball.WriteToFile(filepath.Join(out, tarName), tag, here[0]); err != nil {
		return fmt.Errorf("write the tarball: %w", err)
	}
	return nil
}
