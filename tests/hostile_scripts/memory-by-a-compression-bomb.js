// attack: unpack a few kilobytes into gigabytes
// outcome: script_error
// detail: called_back_error
function login(email, password, callback) {
  const zlib = require('zlib');
  let bomb = zlib.gzipSync(Buffer.alloc(1e8));
  const all = [];
  try {
    for (;;) all.push(zlib.gunzipSync(bomb));
  } catch (error) {
    callback(error);
  }
}
