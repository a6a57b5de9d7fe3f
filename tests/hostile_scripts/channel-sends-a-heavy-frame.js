// attack: send a frame of a million empty lists, which takes long to read
// outcome: contract_violation
// detail: protocol_error
// retires: protocol_error
function login(email, password, callback) {
  const json = `{"t":"log","id":null,"junk":[${'[],'.repeat(1.3e6)}[]]}`;
  sendText(json);
  callback(null, { user_id: 1 });
}
