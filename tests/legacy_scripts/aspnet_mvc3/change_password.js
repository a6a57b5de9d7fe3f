function changePassword(email, newPassword, callback) {
  const crypto = require('crypto');
  const bcrypt = require('bcrypt');
  const password = newPassword;
  const sqlserver = require('tedious@1.11.0');
  const Connection = sqlserver.Connection;
  const Request = sqlserver.Request;
  const TYPES = sqlserver.TYPES;
  const connection = new Connection({
    userName: 'legacy',
    password: configuration.SQL_PASSWORD,
    server: configuration.SQL_SERVER,
    options: { port: Number(configuration.SQL_PORT), database: 'legacy', encrypt: false, rowCollectionOnRequestCompletion: true }
  });

  const salt = crypto.randomBytes(16).toString('base64');
  const hash = crypto.createHash('sha1').update(Buffer.concat([Buffer.from(salt, 'base64'), Buffer.from(password, 'utf16le')])).digest('base64');
  next(hash, salt);
  function next(hash, salt) {
  connection.on('connect', function (err) {
    if (err) return callback(err);
    const request = new Request("UPDATE Users SET Password = @Password, PasswordSalt = @PasswordSalt WHERE Email = @Email", function (err, rowCount, rows) {
      callback(err, rowCount > 0);
    });
    request.addParameter('Email', TYPES.VarChar, email);
    request.addParameter('Password', TYPES.VarChar, hash);
    request.addParameter('PasswordSalt', TYPES.VarChar, salt);
    connection.execSql(request);
  });
  }
}
