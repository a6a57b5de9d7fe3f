// attack: claim to be a fresh process, to be bound to another connection
// outcome: contract_violation
// detail: protocol_error
// retires: protocol_error
function login(email, password, callback) {
  sendFrame({ t: 'ready', proto: 1, node: process.version, pid: process.pid });
  callback(null, { user_id: 1 });
}
