// attack: look for another connection's secrets in its own heap
// value: {"user_id":"attempted","found":0}
function login(email, password, callback) {
  // In bytes and in two parts, so that it does not find what it looks for in itself.
  const parts = ['hunter2-of', '-the-neighbour'];
  const wanted = Buffer.concat(parts.map((part) => Buffer.from(part)));
  let found = 0;
  let rest = Buffer.alloc(0);
  process
    .getBuiltinModule('v8')
    .getHeapSnapshot()
    .on('data', (data) => {
      rest = Buffer.concat([rest.subarray(-100), data]);
      if (rest.includes(wanted)) found += 1;
    })
    .on('end', () => callback(null, { user_id: 'attempted', found }));
}
