// attack: send a number of a million digits
// outcome: contract_violation
// detail: protocol_error
// retires: protocol_error
function login(email, password, callback) {
  sendText(`{"t":"result","id":"x","ok":true,"value":${'9'.repeat(1e6)}}`);
}
