// Serves the example page, and passes /cart on to cartd: page and cart have one origin, as behind a shop's own proxy, so that
// the browser's cookie goes with each request. SHOP and CARTD are the two addresses.
import { readFile } from "node:fs/promises";
import http from "node:http";

const cartd = process.env.CARTD ?? "http://127.0.0.1:8080";
const shop = new URL(process.env.SHOP ?? "http://127.0.0.1:8082");

const types = { html: "text/html; charset=utf-8", js: "text/javascript" };
const files = { "/": "index.html" };
for (const name of ["index", "client", "errors", "follow", "retry", "session", "sse", "transport"]) files[`/client/${name}.js`] = `../dist/${name}.js`;

const server = http.createServer(async (req, res) => {
  const { pathname } = new URL(req.url, shop);
  if (pathname === "/cart" || pathname.startsWith("/cart/")) {
    const on = http.request(cartd + req.url, { method: req.method, headers: req.headers }, (answer) => {
      res.writeHead(answer.statusCode, answer.headers);
      answer.pipe(res);
    });
    on.on("error", () => (res.headersSent ? res.destroy() : res.writeHead(502).end(`no cartd at ${cartd}\n`)));
    req.pipe(on);
    return;
  }
  const file = files[pathname];
  if (!file) return res.writeHead(404).end();
  const body = await readFile(new URL(file, import.meta.url)).catch(() => null);
  if (!body) return res.writeHead(500).end("not built\n");
  res.writeHead(200, { "content-type": types[file.split(".").pop()] }).end(body);
});
server.listen(Number(shop.port), shop.hostname, () => console.log(`http://${shop.hostname}:${server.address().port}`));
