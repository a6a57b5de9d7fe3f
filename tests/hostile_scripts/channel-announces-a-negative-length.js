// attack: announce a frame of length zero, then one of 2^31
// outcome: contract_violation
// detail: protocol_error
// retires: protocol_error
function login(email, password, callback) {
  require('fs').writeSync(3, Buffer.from([0, 0, 0, 0, 0x80, 0, 0, 0]));
}
