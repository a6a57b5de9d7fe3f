// action: login
// args: ["alice@example.com","correct horse"]
// level: process
// outcome: contract_violation
// detail: protocol_error
// retires: protocol_error
function login(email, password, callback) {
  require('fs').writeSync(3, Buffer.alloc(64, 0xff));
  callback(null, { user_id: 1 });
}
