// attack: answer a bind that nobody asked for
// outcome: contract_violation
// detail: protocol_error
// retires: protocol_error
function login(email, password, callback) {
  sendFrame({ t: 'bound', actions: ['login', 'delete'], us: 1 });
  callback(null, { user_id: 1 });
}
