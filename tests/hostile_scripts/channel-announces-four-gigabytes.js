// attack: announce a frame of 4 GiB, for the worker to make room for
// outcome: contract_violation
// detail: protocol_error
// retires: protocol_error
function login(email, password, callback) {
  require('fs').writeSync(3, Buffer.from([0xff, 0xff, 0xff, 0xff, 0x7b]));
  callback(null, { user_id: 1 });
}
