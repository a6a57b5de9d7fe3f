// attack: make the worker look up a console level that is none
// outcome: contract_violation
// detail: protocol_error
// retires: protocol_error
function login(email, password, callback) {
  sendFrame({ t: 'log', id: null, level: '__class__', text: 'x', truncated: false });
}
