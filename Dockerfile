# An image of cartd for those who build with Docker. It is NOT TESTED: what is tested, reproducible and comes with an SBOM
# is `make image`, which needs no Docker.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=devel
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o /cartd ./cmd/cartd && mkdir -m 700 /empty

FROM gcr.io/distroless/static:nonroot
COPY --from=build /cartd /usr/local/bin/cartd
COPY --from=build --chown=65532:65532 /empty /data
WORKDIR /
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/cartd"]
