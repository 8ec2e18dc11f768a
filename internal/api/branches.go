package api

import (
	"errors"
	"net/http"

	"cartd/internal/grain"
	"cartd/pkg/actor"
	"cartd/pkg/messages"
)

// forkBranch begins a branch as the branch that the request is about is now, or once was. What it begins with is read from
// the log: the event holds it.
func (s *server) forkBranch(w http.ResponseWriter, r *http.Request) error {
	var req struct {
		Name        string  `json:"name"`
		FromVersion *uint64 `json:"fromVersion"`
	}
	c, err := s.readChange(r, &req)
	if err != nil {
		return err
	}
	switch {
	case req.Name == mainBranch:
		return fault("branch_exists", "main is always there")
	case !grain.ValidBranch(req.Name):
		return invalid("name", "must match [a-z0-9][a-z0-9_-]{0,31}")
	}
	from := actor.Moment{Branch: c.cmd.Branch}
	now, err := s.query(r, c.id, &actor.Query{Key: c.cmd.Key, Minimal: true})
	if err != nil {
		return err
	}
	m := &messages.BranchForked{} // of a repeat: the grain knows the key
	if !now.Replayed {
		if req.FromVersion != nil {
			if from.Version = *req.FromVersion; from.Version == 0 || from.Version > now.Version {
				return invalid("fromVersion", "must be 1 to %d, which the branch is at", now.Version)
			}
		}
		then, err := s.then(r, c.id, from)
		if err != nil {
			return err
		}
		if v := then.Version(from.Branch); v == 0 || from.Version > 0 && v != from.Version {
			return invalid("fromVersion", "there is no such version: the log is damaged there")
		}
		if m, err = then.Fork(from.Branch); err != nil {
			return err
		}
	}
	c.cmd.Branch, c.cmd.Minimal = req.Name, true
	c.cmd.Steps = []actor.Step{{Mutation: m}}
	reply, err := s.askChange(r, c)
	if p, ok := errors.AsType[*problem](err); ok {
		p.Mutations = nil // a step of ours, which the client has not asked for
	}
	if err != nil {
		return err
	}
	if reply.Replayed {
		w.Header().Set("Idempotent-Replayed", "true")
		return s.answerBranch(w, r, c.id, req.Name)
	}
	w.Header().Set("Location", "/v1/carts/"+string(c.id)+"/branches/"+req.Name)
	w.Header().Set("ETag", etag(req.Name, reply.Version))
	return writeValue(w, http.StatusCreated, grain.BranchInfo{Name: req.Name, Version: reply.Version, From: &grain.Fork{Branch: m.From, Version: m.Version}})
}

// answerBranch tells of a branch as it is now.
func (s *server) answerBranch(w http.ResponseWriter, r *http.Request, id grain.CartID, name string) error {
	present, err := s.then(r, id, actor.Moment{})
	if err != nil {
		return err
	}
	info, ok := present.Branch(name)
	if !ok {
		return branchNotFound()
	}
	w.Header().Set("ETag", etag(name, info.Version))
	return writeValue(w, http.StatusOK, info)
}

// listBranches lists the branches beside main that are open.
func (s *server) listBranches(w http.ResponseWriter, r *http.Request) error {
	present, err := s.presentBranches(r)
	if err != nil {
		return err
	}
	return writeValue(w, http.StatusOK, struct {
		Branches []grain.BranchInfo `json:"branches"`
	}{present.Branches()})
}

// readBranch tells of one branch, or what differs between it (left) and the branch that compare names (right).
func (s *server) readBranch(w http.ResponseWriter, r *http.Request) error {
	left, err := pathBranch(r)
	if err != nil {
		return err
	}
	q, err := parseQuery(r)
	if err != nil {
		return err
	}
	present, err := s.presentBranches(r)
	if err != nil {
		return err
	}
	info, ok := present.Branch(left)
	if !ok {
		return branchNotFound()
	}
	switch names := q["compare"]; len(names) {
	case 0:
		return writeValue(w, http.StatusOK, info)
	case 1:
		right, err := parseBranch(names[0])
		if err != nil {
			return err
		}
		if _, ok := present.Branch(right); !ok {
			return branchNotFound()
		}
		writeJSON(w, http.StatusOK, present.AppendComparison(nil, left, right))
		return nil
	}
	return fault("invalid_request", "compare is there more than once")
}

// presentBranches reads the cart as it is now, with all branches at one place of the log.
func (s *server) presentBranches(r *http.Request) (*grain.Past, error) {
	id, err := cartID(r)
	if err != nil {
		return nil, err
	}
	if _, err := presentBranch(r); err != nil {
		return nil, err
	}
	if _, err := s.query(r, id, &actor.Query{Minimal: true}); err != nil {
		return nil, err
	}
	return s.then(r, id, actor.Moment{})
}

// promoteBranch gives main the content of a branch.
func (s *server) promoteBranch(w http.ResponseWriter, r *http.Request) error {
	branch, err := pathBranch(r)
	if err != nil {
		return err
	}
	c, err := s.readChange(r, nil)
	if err != nil {
		return err
	}
	if branch == "" {
		return invalid("branch", "main is what takes over")
	}
	c.expect(c.cmd.Branch, branch)
	c.cmd.Steps = []actor.Step{{Mutation: &messages.BranchPromoted{Branch: branch}}}
	return s.finish(w, r, c)
}

// deleteBranch closes a branch.
func (s *server) deleteBranch(w http.ResponseWriter, r *http.Request) error {
	branch, err := pathBranch(r)
	if err != nil {
		return err
	}
	c, err := s.readChange(r, nil)
	if err != nil {
		return err
	}
	c.cmd.Branch, c.cmd.Minimal = branch, true
	c.expect(branch)
	c.cmd.Steps = []actor.Step{{Mutation: &messages.BranchDeleted{}}}
	reply, err := s.askChange(r, c)
	if err != nil && (reply == nil || !reply.Replayed) {
		return err
	}
	if reply.Replayed { // the same request again; that the branch is closed is its result
		w.Header().Set("Idempotent-Replayed", "true")
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// pathBranch returns the branch in the path, "" for main.
func pathBranch(r *http.Request) (string, error) {
	name, ok := pathVar(r, "b")
	if !ok {
		return "", branchNotFound()
	}
	return parseBranch(name)
}

func writeValue(w http.ResponseWriter, status int, v any) error {
	b, err := appendMarshal(nil, v)
	if err != nil {
		return err
	}
	writeJSON(w, status, b)
	return nil
}
