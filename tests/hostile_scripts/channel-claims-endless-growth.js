// attack: forge what its heap is, to confuse what the pool measures
// outcome: contract_violation
// detail: protocol_error
// retires: protocol_error
function login(email, password, callback) {
  sendText('{"t":"result","id":"x","ok":true,"value":null,"heap":-9e99,"handles":1e308}');
}
