// attack: send bytes that are no UTF-8 inside a frame
// outcome: contract_violation
// detail: protocol_error
// retires: protocol_error
function login(email, password, callback) {
  const body = Buffer.concat([Buffer.from('{"t":"log","text":"'), Buffer.from([0xc3, 0x28, 0xed, 0xa0, 0x80]), Buffer.from('"}')]);
  const head = Buffer.alloc(4);
  head.writeUInt32BE(body.length);
  require('fs').writeSync(3, Buffer.concat([head, body]));
}
