// Package courier carries errands from one grain to another, so that none ever waits for another one.
//
// A grain whose log says that something is to be done elsewhere hands an [actor.Errand] to [Courier.Send]. The courier asks
// the other grain until it hears what that has decided, then tells the first one, and forgets the errand. What it has
// not brought to an end when the process dies is still in the first grain's log: the next activation hands it over
// again. So the courier stores nothing, and a grain that has errands open is resumed by asking it anything at all.
//
//	c := courier.New(grains, courier.Options{Logger: logger})
//	… actor.Config{Errands: …, Send: c.Sender("cart")}
//	w := c.Watch("cart", id) // before what makes the errand
//	results, err := w.Wait(ctx)
//
// An errand under way is not begun a second time, whoever hands it over. Each has a goroutine, which waits most of its
// life; how many ask at once is bounded, and so are the errands. All methods are safe for concurrent use.
package courier
