package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/ko/pkg/build"
	"github.com/google/ko/pkg/commands/options"
)

// importPath is what is in the image.
const importPath = "ko://cartd/cmd/cartd"

// buildIndex builds cartd of the sources in dir as their .ko.yaml says, on the base made here, for all its platforms.
func buildIndex(ctx context.Context, dir, version, sboms string) (v1.ImageIndex, error) {
	config := options.BuildOptions{WorkingDirectory: dir}
	if err := config.LoadConfig(); err != nil {
		return nil, fmt.Errorf(".ko.yaml: %w", err)
	}
	var platforms []v1.Platform
	for _, text := range config.DefaultPlatforms {
		platform, err := v1.ParsePlatform(text)
		if err != nil {
			return nil, fmt.Errorf(".ko.yaml: %w", err)
		}
		platforms = append(platforms, *platform)
	}
	if len(platforms) < 2 {
		return nil, fmt.Errorf(".ko.yaml: %d platforms, want two or more", len(platforms)) // of one ko makes no index
	}
	base, err := base(platforms)
	if err != nil {
		return nil, fmt.Errorf("make the base: %w", err)
	}
	if err := os.Setenv("VERSION", version); err != nil { // .ko.yaml asks for it
		return nil, err
	}
	created, err := creationTime()
	if err != nil {
		return nil, err
	}
	builder, err := build.NewGobuilds(ctx, dir, config.BuildConfigs,
		build.WithBaseImages(func(context.Context, string) (name.Reference, build.Result, error) { return baseName, base, nil }),
		build.WithPlatforms(config.DefaultPlatforms...),
		build.WithConfig(config.BuildConfigs),
		build.WithTrimpath(true),
		build.WithCreationTime(created),
		build.WithSPDX(koVersion),
		build.WithSBOMDir(sboms),
		build.WithLabel("org.opencontainers.image.title", "cartd"),
		build.WithLabel("org.opencontainers.image.version", version),
		build.WithLabel("org.opencontainers.image.licenses", "Apache-2.0"),
	)
	if err != nil {
		return nil, err
	}
	result, err := builder.Build(ctx, importPath)
	if err != nil {
		return nil, err
	}
	index, ok := result.(v1.ImageIndex)
	if !ok {
		return nil, fmt.Errorf("ko made a %T, not an index", result)
	}
	return index, nil
}

// creationTime is what image and SBOM say when they were made: SOURCE_DATE_EPOCH, the time of the sources in seconds
// (https://reproducible-builds.org/specs/source-date-epoch/), for the present time would make each image another one.
func creationTime() (v1.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		return v1.Time{Time: time.Unix(0, 0).UTC()}, nil
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return v1.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return v1.Time{Time: time.Unix(seconds, 0).UTC()}, nil
}

// koVersion is what the SBOM says it was made with.
const koVersion = "v0.19.1"
