// attack: send a frame whose type is the name of something that every object has
// outcome: contract_violation
// detail: protocol_error
// retires: protocol_error
function login(email, password, callback) {
  sendText('{"t":"__proto__","id":null}');
}
