package broker

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"
)

const (
	kafkaVersion    = "4.3.1"
	apicurioVersion = "3.3.3"

	fetchLimit = 15 * time.Minute // for one mvn: 60 MB or 160 MB over a poor line
)

// pom is what Kafka needs to run, and the plugin that fetches it; its version
// is fixed, as every mvn brings another default.
const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>troupe</groupId>
  <artifactId>realbroker</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>` + kafkaVersion + `</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-server</artifactId><version>` + kafkaVersion + `</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>` + kafkaVersion + `</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.2</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-core</artifactId><version>2.25.2</version></dependency>
  </dependencies>
  <build>
    <plugins>
      <plugin><groupId>org.apache.maven.plugins</groupId><artifactId>maven-dependency-plugin</artifactId><version>3.8.1</version></plugin>
    </plugins>
  </build>
</project>
`

// fetcher brings what Maven has into our cache.
type fetcher struct {
	java string // new enough for mvn itself
	pom  string
	log  io.Writer
}

// kafka is the folder of Kafka's jars.
func (f fetcher) kafka(ctx context.Context) (string, error) {
	return f.jars(ctx, "kafka-"+kafkaVersion)
}

// jars is the folder of what the pom names, with all that it needs.
func (f fetcher) jars(ctx context.Context, name string) (string, error) {
	return f.cached(ctx, name, func(ctx context.Context, s *scratch, to string) error {
		return f.mvn(ctx, s, "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+to)
	})
}

// apicurio is the folder that Apicurio's archive unpacks to.
func (f fetcher) apicurio(ctx context.Context) (string, error) {
	return f.cached(ctx, "apicurio-"+apicurioVersion, func(ctx context.Context, s *scratch, to string) error {
		artifact := "io.apicurio:apicurio-registry-app:" + apicurioVersion + ":tar.gz:all"
		if err := f.mvn(ctx, s, "dependency:copy", "-Dartifact="+artifact, "-DoutputDirectory="+s.dir); err != nil {
			return err
		}
		return unpack(filepath.Join(s.dir, "apicurio-registry-app-"+apicurioVersion+"-all.tar.gz"), to)
	})
}

// cached fills a folder once. It is filled under another name and renamed, so
// that neither an interrupted download nor two tests at the same time leave
// half of it. Its name holds the pom's sum: another pom is another folder.
func (f fetcher) cached(ctx context.Context, name string, fill func(ctx context.Context, s *scratch, to string) error) (_ string, err error) {
	root, err := cacheRoot()
	if err != nil {
		return "", err
	}
	dir := cacheDir(root, name, f.pom)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	fmt.Fprintf(f.log, "fetching %s with mvn, once, to %s\n", name, dir)
	s, err := newScratch(root, "fetch-")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.remove()) }()
	to := filepath.Join(s.dir, "new")
	if err := os.Mkdir(to, 0o755); err != nil {
		return "", fmt.Errorf("fetch %s: %w", name, err)
	}
	if err := fill(ctx, s, to); err != nil {
		return "", fmt.Errorf("fetch %s: %w", name, err)
	}
	if err := os.Rename(to, dir); err != nil {
		if _, there := os.Stat(dir); there != nil { // otherwise another process was first
			return "", fmt.Errorf("fetch %s: %w", name, err)
		}
	}
	return dir, nil
}

// cacheDir has the pom's sum in its name: another pom is another folder.
func cacheDir(root, name, pom string) string {
	return filepath.Join(root, fmt.Sprintf("%s-%.4x", name, sha256.Sum256([]byte(pom))))
}

func cacheRoot() (string, error) {
	root := os.Getenv("TROUPE_CACHE")
	if root == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find cache folder: %w; set TROUPE_CACHE", err)
		}
		root = filepath.Join(user, "troupe")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return "", fmt.Errorf("find cache folder: %w", err)
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", fmt.Errorf("make cache folder: %w", err)
	}
	return root, nil
}

func (f fetcher) mvn(ctx context.Context, s *scratch, args ...string) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return fmt.Errorf("find mvn: %w; install Apache Maven 3.8 or newer and put its bin on PATH", err)
	}
	file := filepath.Join(s.dir, "pom.xml")
	if err := os.WriteFile(file, []byte(f.pom), 0o644); err != nil {
		return fmt.Errorf("write pom: %w", err)
	}
	argv := append([]string{mvn, "-q", "-B", "-f", file}, args...)
	c, err := startChild("mvn "+args[0], filepath.Join(s.dir, "mvn.log"), []string{"JAVA_HOME=" + javaHome(f.java)}, argv...)
	if err != nil {
		return err
	}
	return c.finish(ctx, fetchLimit)
}

// unpack writes an archive's files below a folder, and nowhere else: os.Root
// refuses a name that leads out.
func unpack(archive, to string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("unpack %s: %w", filepath.Base(archive), err)
		}
	}()
	in, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	zipped, err := gzip.NewReader(in)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(to)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	for r := tar.NewReader(zipped); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := unpackOne(root, strings.TrimPrefix(path.Clean(h.Name), "./"), h, r); err != nil {
			return err
		}
	}
}

func unpackOne(root *os.Root, name string, h *tar.Header, r io.Reader) error {
	switch h.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, 0o755)
	case tar.TypeReg:
	default:
		return fmt.Errorf("%s is neither file nor folder", name)
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	out, err := root.Create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, r)
	return errors.Join(err, out.Close())
}
