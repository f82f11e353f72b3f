"""What stores say of stock, as they write it: 1,600 sayings of thirty languages and what each means.

Gathered apart from `stock.toml`: what fails here is missing there, or read wrongly.
"""

from __future__ import annotations

import html
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lensback.feeds.stock import USUAL, Words, _data, known

KNOWN = known()

# fmt: off
SAYINGS = {
    "in_stock": (
        '0.5|5/5|5 of 10|3 von 10|Stock level: 7|Stock: 5|Qty: 12|Quantity available: 3|one left|1 left|only one left|last one|last one!|Last item|only a few left|few|a few|a few left|>10|10+|>=1|≥ 1|'
        '5 Stk.|5 Stück|5Stk|5 st.|5 szt.|5 шт.|5шт|5 ks|5 db|5 buc.|5 kpl|5 τεμ.|5 adet|5 τμχ|✔|✅|☑|✓|● In stock|🟢 In stock|✔ Auf Lager|✓ Skladem|'
        '✅ В наличии|&#10004;|&check;|<i class="icon-ok"></i> In stock|In&nbsp;stock|IN STOCK|In Stock Now|In stock!|in-stock|In_Stock|instock|InStock|http://schema.org/InStock|https://schema.org/InStoreOnly|OnlineOnly|schema:InStock|available|Available|AVAILABLE|available in store|Available immediately|immediately available|'
        'Yes|yes|Y|true|TRUE|1|on|enabled|In stock online|In stock: 5 units|5 in stock|5 available|5 items left|3 left in stock|more than 10|over 100|High|Plenty|Low stock|low|limited availability|Limited stock|'
        'Hurry, only 2 left|Only 2 left|Selling fast|Almost gone|ready for dispatch|ships within 24 hours|Ships in 24h|Dispatched today|In stock - ships today|usually ships within 24 hours|Delivery in 2-3 days|2-3 days|24h|48 h|1-2 business days|in stock (12)|(12)|[5]|In Stock & Ready To Ship|'
        'auf Lager|Auf Lager|AUF LAGER|am Lager|Lagernd|lagernd|sofort lieferbar|Sofort verfügbar|sofort verfuegbar|verfügbar|Verfuegbar|vorrätig|vorraetig|Artikel ist auf Lager|Artikel vorrätig|lieferbar|Ja|Nur noch 3 Stück|nur noch 1 Stück verfügbar|Nur noch wenige verfügbar|wenige Exemplare auf Lager|geringer Bestand|'
        'Bestand: 5|Lagerbestand: 12|Lagerbestand 12 Stück|mehr als 10 Stück|über 100 Stück|Lieferzeit 2-3 Tage|Lieferzeit: 1-3 Werktage|in 1-2 Werktagen lieferbar|sofort versandfertig|Sofort versandfertig, Lieferzeit 1-3 Tage|letztes Stück|Letztes Exemplar|auf Lager, Lieferzeit 3 Tage|Sofort ab Lager lieferbar|ab Lager lieferbar|'
        'en stock|En stock|EN STOCK|disponible|Disponible immédiatement|Produit disponible|Produit en stock|disponible en magasin|Plus que 3 en stock|Plus que 2 exemplaires|Il ne reste que 3 exemplaires|Dernières pièces en stock|Stock limité|Oui|Expédié sous 24h|Livraison sous 48h|Délai de livraison : 3 jours|Bientôt épuisé|Dernier exemplaire|quelques exemplaires|5 pièces|5 unités en stock|'
        'Stock : 5|quantité : 3|'
        'en stock|En existencia|disponible|Disponibles|Disponible ahora|Hay stock|Últimas unidades|Ultimas unidades|¡Últimas unidades en stock!|Quedan 3 unidades|Solo quedan 2|sólo queda 1 unidad|Sí|Si|SI|Envío en 24 horas|Envío en 24h|Entrega en 24/48 horas|En inventario|5 unidades|5 uds.|stock: 5|'
        'Última unidad|Pocas unidades|'
        'disponibile|Disponibile|Disponibile subito|disponibilità immediata|Disponibilità: 5|Ultimi pezzi|ultimo pezzo|Ultimi pezzi disponibili|In magazzino|Sì|Solo 3 rimasti|Solo 2 pezzi rimasti|pronta consegna|spedizione in 24 ore|spedito in 24h|Consegna in 2-3 giorni|5 pezzi|5 pz.|'
        'op voorraad|Op voorraad|voorradig|Direct leverbaar|Nog 3 op voorraad|Nog maar 2 stuks|laatste stuks|Laatste exemplaar|Ja|Levertijd 1-2 dagen|Levertijd: 2 werkdagen|leverbaar binnen 24 uur|5 stuks|ruim op voorraad|beperkt op voorraad|Uit voorraad leverbaar|'
        'em stock|Em estoque|disponível|Disponivel|Disponível em stock|Últimas unidades|Apenas 2 unidades|Restam 3 unidades|Sim|Envio em 24h|Pronta entrega|Entrega em 3 dias úteis|Última unidade|5 unidades|'
        'na stanie|dostępny|Dostępny|DOSTĘPNY|dostepny|dostępna|dostępne|Produkt dostępny|Towar dostępny|w magazynie|Na magazynie|Tak|Ostatnia sztuka|Ostatnie sztuki|Wysyłka w 24h|wysyłka w 24 godziny|Wysyłka: 24h|Wysyłka jutro|w ciągu 24 godzin|pozostało 3 szt.|Zostało tylko 2 sztuki|Zostały 3 sztuki|'
        'duża ilość|mała ilość|średnia ilość|powyżej 10 szt.|ponad 100 szt|Dostępny od ręki|Dostępność: jest|Dostępność: 5 szt.|kilka sztuk|'
        'skladem|Skladem|SKLADEM|Skladem 5 ks|Skladem (>5 ks)|Skladem více než 10 ks|Skladem > 5 ks|Skladem u nás|ihned k odběru|Ihned k odeslání|Poslední kus|Poslední kus skladem|posledni kusy|Ano|dostupné|na prodejně|do 24 hodin|Doručení do 2 dnů|k dodání do 3 dnů|na skladě|máme skladem|centrální sklad|'
        'Skladem v e-shopu|'
        'na sklade|skladom|Skladom|Skladom 5 ks|Na sklade > 5 ks|posledný kus|Posledné kusy|Áno|dostupné|do 24 hodín|Dodanie do 2 dní|ihneď k odoslaniu|Skladom viac ako 5 ks|'
        'på lager|På lager|paa lager|Få på lager|På fjernlager|1-2 dage|Leveringstid 1-3 hverdage|Levering: 1-2 hverdage|ja|5 stk.|5 stk på lager|Kun 2 tilbage|sidste stk.|Flere end 10 på lager|'
        'i lager|I lager|finns i lager|Finns i lager (5 st)|fler än 10 i lager|Få kvar|Endast 2 kvar|Sista exemplaret|Ja|Skickas inom 24 timmar|Leveranstid 1-3 vardagar|lagervara|5 st i lager|10+ i lager|'
        'på lager|Tilgjengelig|Kun 3 igjen|Få igjen på lager|20+ på lager|Ja|Leveringstid 2-4 dager|Siste på lager|mer enn 10|'
        'varastossa|Varastossa|Saatavilla|saatavana|Heti saatavilla|Vain 2 jäljellä|Kyllä|Toimitusaika 1-3 arkipäivää|5 kpl|Varastossa 5 kpl|yli 10 kpl|Viimeinen kappale|Viimeiset kappaleet|vain muutama jäljellä|'
        'в наличии|В наличии|В НАЛИЧИИ|Есть в наличии|есть|Есть|ЕСТЬ|Да|да|Имеется|имеется в наличии|На складе|есть на складе|в наличии на складе|Товар в наличии|Товары в наличии|Много|много|мало|Достаточно|Осталось 3 шт.|Остался 1 шт|'
        'осталась 1 пара|Остался последний|Последний экземпляр|Последняя пара|последние штуки|Мало осталось|заканчивается|Доступен|доступна|доступно|доступны|Доступно: 5|Остаток: 5|Остаток 12 шт|Кол-во: 5|больше 10|более 10 шт|>10 шт|свыше 100|от 10 до 50|В наличии 5 шт|5 штук|'
        'Отправка сегодня|отгрузка 1-2 дня|Доставка 2-3 дня|срок поставки 3 дня|готов к отгрузке|В магазине|в наличии в магазине|наличие: есть|Наличие: да|в наличии: 3|+|++|+++|В наличие|Налицо|одна пара|несколько|'
        'в наявності|В наявності|Є в наявності|є|Є|Так|так|На складі|закінчується|Залишилось 3 шт.|Залишилась 1 пара|Остання пара|Товар в наявності|Готовий до відправки|Готово до відправки|багато|мало|більше 10|понад 10 шт|доступний|доступна|Відправка сьогодні|'
        'Доставка 1-2 дні|1-3 дні|'
        'у наяўнасці|ёсць у наяўнасці|ёсць|Бар|қоймада бар|қолда бар|'
        'Διαθέσιμο|διαθέσιμο|ΔΙΑΘΕΣΙΜΟ|διαθεσιμο|Άμεσα διαθέσιμο|Αμεσα διαθεσιμο|Άμεση παραλαβή|Άμεση παράδοση|Σε απόθεμα|Παράδοση σε 1-3 ημέρες|Παράδοση 1 έως 3 ημέρες|Διαθέσιμο σε 1-3 ημέρες|Τελευταία κομμάτια|Τελευταίο κομμάτι|Ναι|Ετοιμοπαράδοτο|Σε στοκ|1-3 εργάσιμες ημέρες|Διαθέσιμη|Περιορισμένη διαθεσιμότητα|5 τεμάχια|Διαθέσιμο στο κατάστημα|'
        'Stokta|stokta|Stokta var|STOKTA VAR|Mevcut|Var|Evet|Son 3 ürün|Son 2 adet|Tükenmek üzere|Stokta 5 adet|Stok: 5|Hızlı teslimat|Aynı gün kargo|24 saatte kargoda|1-3 iş günü|Az kaldı|10+ adet|Hemen teslim|'
        'În stoc|în stoc|in stoc|IN STOC|Disponibil|disponibilă|disponibile|In stoc limitat|Stoc limitat|Ultimele bucati|Ultimul produs|Da|Livrare în 24 ore|Livrare 1-2 zile|5 buc|peste 10|În stoc magazin|'
        'Raktáron|raktáron|RAKTÁRON|raktaron|Készleten|készleten|Elérhető|Kapható|Azonnal szállítható|Utolsó darab|utolsó darabok|Igen|5 db|5 db raktáron|10 db felett|Szállítás 1-2 nap|1-2 munkanap|van készleten|több mint 10 db|'
        'в наличност|В наличност|Налично|налични|наличен|налична|На склад|Последна бройка|Последни бройки|Да|5 бр.|Доставка до 2 дни|има|Има в наличност|'
        'na zalihi|Na zalihi|Na stanju|na stanju|Dostupno|dostupan|dostupna|Na skladištu|Raspoloživo|Da|Zadnji komadi|Zadnji komad|Isporuka 1-3 dana|5 kom|na lageru|Na zalogi|na voljo|zadnji kos|Na raspolaganju|На стању|на залихи|На лагеру|'
        'Yra sandėlyje|Turime|Yra|sandėlyje|Taip|prekė yra|Paskutinė prekė|5 vnt.|1-3 d.d.|Pristatymas 1-3 d.|'
        'Ir noliktavā|noliktavā|Pieejams|pieejama|Ir pieejams|Jā|Pēdējā prece|5 gab.|'
        'Laos|laos|Laos olemas|Saadaval|Olemas|Jah|Viimane toode|5 tk|Kohe saadaval|'
        'במלאי|זמין|יש במלאי|קיים במלאי|זמין במלאי|נותרו 3 יחידות|יחידה אחרונה|כן|'
        'متوفر|متوفرة|متاح|متوفر في المخزون|المنتج متوفر|الكمية محدودة|نعم|قطعة واحدة متبقية|باقي 3|'
        '有货|现货|有現貨|库存充足|库存 5|剩余 3 件|仅剩 2 件|在庫あり|在庫有り|残り3点|残りわずか|あり|○|◎|即納|在庫 5|재고 있음|재고있음|재고 5개|구매 가능|판매 중|มีสินค้า|'
        'พร้อมส่ง|còn hàng|Còn 5 sản phẩm|tersedia|Ready|stok: 5|Stokda var|მარაგშია|Առկա է|موجود|'
    ),
    "out_of_stock": (
        '0|0.00|0,00|-1|-5|0/5|0 of 10|0 von 10|0 из 10|0 z 5|0/10 available|Stock level: 0|Stock: 0|Qty: 0|Quantity available: 0|Quantity: 0|zero|nil|no|No|'
        'NO|N|false|FALSE|F|off|0 pcs|0 Stk.|0 Stück|0 szt.|0 шт.|0шт|0 ks|0 db|0 buc|0 kpl|0 adet|0 τεμ|0 st|✖|✗|✘|'
        '❌|×|✕|⛔|🔴 Out of stock|✖ Out of stock|❌ Ausverkauft|&#10006;|<b>Out of stock</b>|Out&nbsp;of&nbsp;stock|OUT OF STOCK|out-of-stock|Out_Of_Stock|outofstock|OutOfStock|http://schema.org/OutOfStock|https://schema.org/SoldOut|https://schema.org/Discontinued|Sold out|SOLD OUT|soldout|Sold Out!|'
        'Sold|unavailable|Unavailable|not available|Not Available|Currently unavailable|currently out of stock|temporarily out of stock|Temporarily unavailable|temporarily sold out|No longer available|no longer in stock|not in stock|No stock|no stock available|none in stock|none left|0 left|0 in stock|0 items available|0 available|Available: 0|'
        'Available: no|In stock: no|In stock: 0|in stock = false|discontinued|Discontinued by manufacturer|end of life|EOL|OOS|out|Out|Item is out of stock|This product is out of stock|product sold out|Sorry, sold out|Unfortunately sold out|sold out online|Notify me when available|Email me when in stock|Back in stock soon|inactive|disabled|'
        'wait list|join the waitlist|waitlist|'
        'ausverkauft|Ausverkauft|AUSVERKAUFT|Leider ausverkauft|leider ausverkauft!|zurzeit ausverkauft|Zur Zeit ausverkauft|derzeit nicht verfügbar|Derzeit nicht verfuegbar|aktuell nicht lieferbar|momentan nicht lieferbar|nicht auf Lager|nicht am Lager|nicht vorrätig|nicht verfügbar|nicht mehr verfügbar|nicht mehr lieferbar|vergriffen|zur Zeit vergriffen|kein Lagerbestand|Kein Bestand|Bestand: 0|'
        'Lagerbestand: 0|0 auf Lager|Nein|Artikel ausverkauft|Artikel nicht verfügbar|z.Zt. nicht lieferbar|z. Zt. ausverkauft|Nicht lieferbar|nicht lagernd|Artikel nicht mehr lieferbar|bis auf weiteres nicht lieferbar|Benachrichtigen|nicht bestellbar|keine|'
        "épuisé|Épuisé|EPUISE|Epuisé|épuisée|en rupture de stock|Rupture de stock|rupture|RUPTURE|en rupture|Temporairement en rupture|temporairement indisponible|actuellement indisponible|Produit épuisé|Produit indisponible|indisponible|non disponible|n'est plus disponible|N’est plus disponible|plus en stock|plus disponible|pas disponible|"
        'pas en stock|hors stock|Victime de son succès|Vendu|Article vendu|Non|Stock : 0|aucun stock|Stock épuisé|définitivement épuisé|Arrêté|fin de série épuisée|'
        'agotado|Agotado|AGOTADO|agotada|agotados|Producto agotado|Temporalmente agotado|sin stock|Sin stock|sin existencias|Sin inventario|no disponible|No disponible|No disponible temporalmente|Actualmente no disponible|no hay stock|no hay existencias|Fuera de stock|Fuera de existencias|Vendido|No|0 unidades|'
        'Stock: 0|no queda stock|Sin disponibilidad|Descatalogado|'
        'esaurito|Esaurito|ESAURITO|esaurita|esauriti|Prodotto esaurito|Temporaneamente esaurito|Temporaneamente non disponibile|Al momento non disponibile|attualmente non disponibile|non disponibile|Non disponibile|non più disponibile|non piu disponibile|non in stock|Fuori produzione|fuori catalogo|Venduto|No|0 pezzi|Disponibilità: 0|Nessuna disponibilità|'
        'Scorte esaurite|terminato|'
        'uitverkocht|Uitverkocht|UITVERKOCHT|niet op voorraad|Niet op voorraad|Niet meer op voorraad|tijdelijk niet op voorraad|Tijdelijk uitverkocht|Helaas uitverkocht|niet leverbaar|Niet leverbaar|Niet meer leverbaar|momenteel niet leverbaar|niet beschikbaar|Nee|0 stuks|geen voorraad|Voorraad: 0|niet voorradig|Verkocht|Uit het assortiment|uit assortiment|'
        'esgotado|Esgotado|ESGOTADO|esgotada|Produto esgotado|Temporariamente esgotado|sem stock|Sem estoque|Sem estoque no momento|indisponível|Indisponivel|Produto indisponível|Temporariamente indisponível|não disponível|Nao disponivel|fora de estoque|Fora de stock|Vendido|Não|0 unidades|Estoque: 0|Avise-me quando chegar|'
        'Descontinuado|'
        'niedostępny|Niedostępny|NIEDOSTĘPNY|niedostepny|niedostępna|niedostępne|Produkt niedostępny|Towar niedostępny|Produkt chwilowo niedostępny|chwilowo niedostępny|obecnie niedostępny|tymczasowo niedostępny|czasowo niedostępny|brak|Brak|BRAK|brak w magazynie|Brak na stanie|brak towaru|brak na magazynie|Brak w sprzedaży|chwilowy brak|'
        'Nie|nie ma|Nie ma w magazynie|0 sztuk|wyprzedany|Wyprzedane|wyprzedana|Sprzedany|Sprzedane|Produkt wycofany|Zakończono sprzedaż|Dostępność: brak|Stan: 0|Powiadom o dostępności|Nakład wyczerpany|towar wyprzedany|'
        'není skladem|Není skladem|NENÍ SKLADEM|neni skladem|Momentálně není skladem|momentálně nedostupné|Momentalne nedostupne|dočasně nedostupné|Nedostupné|nedostupný|vyprodáno|Vyprodáno|vyprodano|Vyprodané|Vyprodaný|Prodáno|Není k dispozici|Ne|0 ks|Skladem: 0|skladem 0 ks|Ukončená výroba|'
        'ukončeno|prodej skončil|Prodej ukončen|již se nevyrábí|Zboží není skladem|na skladě 0 ks|Již nedostupné|'
        'nie je na sklade|Nie je na sklade|Nie je skladom|nie je skladom|momentálne nedostupné|Momentálne vypredané|dočasne nedostupné|Vypredané|vypredane|Vypredaný|Predané|Nedostupné|Nie je k dispozícii|Nie|0 ks|Skladom 0 ks|Predaj ukončený|Tovar nie je na sklade|'
        'udsolgt|Udsolgt|UDSOLGT|Midlertidigt udsolgt|Desværre udsolgt|ikke på lager|Ikke på lager|Ikke længere på lager|Ikke tilgængelig|ikke tilgængelig i øjeblikket|Solgt|Nej|0 stk.|Udgået|Varen er udsolgt|Varen er udgået|kan ikke leveres|'
        'slutsåld|Slutsåld|Slutsålt|slut i lager|Slut i lager|Tillfälligt slut|Tillfälligt slut i lager|Tyvärr slutsåld|ej i lager|Ej i lager|inte i lager|Finns ej i lager|Finns inte i lager|Såld|Nej|0 st|Utgått|utgången|Ej tillgänglig|Otillgänglig|slut|Produkten är slut|'
        'varan är slut|'
        'utsolgt|Utsolgt|Midlertidig utsolgt|Dessverre utsolgt|ikke på lager|Ikke på lager|Ikke tilgjengelig|Solgt|Nei|Utgått|0 på lager|Tomt på lager|Ikke i salg|Produktet er utgått|'
        'loppu|Loppu|Loppuunmyyty|LOPPUUNMYYTY|loppunut|Tuote on loppu|Tilapäisesti loppu|Tilapäisesti loppuunmyyty|Ei varastossa|ei varastossa|Ei saatavilla|Ei saatavana|Valitettavasti loppu|Varasto loppu|Loppu varastosta|Poistunut|poistunut valikoimasta|Ei|0 kpl|Myyty|Ei tilattavissa|'
        'нет в наличии|Нет в наличии|НЕТ В НАЛИЧИИ|Нет|нет|НЕТ|Нет на складе|нет на складе|Товара нет в наличии|Товар отсутствует|отсутствует|Отсутствует на складе|временно отсутствует|Временно нет в наличии|временно недоступен|временно недоступно|Распродано|распродан|Распродана|распроданы|Закончился|закончилось|'
        'Товар закончился|товар распродан|Товар снят с производства|Снят с производства|снято с продажи|снята с производства|Недоступен|недоступно|недоступны|не доступно|Продано|продан|продана|проданы|0 шт|Остаток: 0|Кол-во: 0|остаток 0 шт|Наличие: нет|В наличии: нет|В наличии: 0|В наличии 0 шт|'
        'Нету|Нет в продаже|Больше не продаётся|нет остатков|Архивный товар|архив|Сообщить о поступлении|уведомить о поступлении|Узнать о поступлении|раскупили|Раскуплено|К сожалению, товар закончился|Извините, товара нет|−|'
        'немає в наявності|Немає в наявності|НЕМАЄ В НАЯВНОСТІ|нема в наявності|Немає|немає|Нема|Товар закінчився|закінчився|Закінчилась|Закінчилися|Розпродано|розпроданий|Відсутній|Відсутня|Відсутнє|Відсутні|Тимчасово відсутній|Тимчасово немає в наявності|Знято з виробництва|Знятий з продажу|Недоступний|'
        "недоступна|Продано|Немає на складі|Ні|0 шт|Повідомити про наявність|Повідомити, коли з'явиться|Повідомити коли з’явиться|Наявність: немає|Не в наявності|"
        'няма ў наяўнасці|Няма|распрададзена|жоқ|қоймада жоқ|Сатылып кетті|'
        'Εξαντλημένο|εξαντλημένο|ΕΞΑΝΤΛΗΜΕΝΟ|Εξαντλήθηκε|εξαντληθηκε|Εξαντλημένη|Μη διαθέσιμο|μη διαθεσιμο|Μη Διαθέσιμο|Προσωρινά μη διαθέσιμο|Προσωρινά εξαντλημένο|Δεν είναι διαθέσιμο|δεν διατίθεται|Δεν υπάρχει σε απόθεμα|Εκτός αποθέματος|Χωρίς απόθεμα|Όχι|Οχι|Απόθεμα: 0|Καταργήθηκε|Έλλειψη|Σε έλλειψη|'
        'Πωλήθηκε|'
        'Tükendi|tükendi|TÜKENDİ|tukendi|Stokta yok|stokta yok|STOKTA YOK|Stok yok|Stoklarımızda yok|Stokta bulunmuyor|Geçici olarak stokta yok|Temin edilemiyor|Geçici olarak temin edilemiyor|Mevcut değil|Yok|Hayır|Satışta değil|Stok: 0|Stokta kalmadı|0 adet|Gelince haber ver|Satıldı|'
        'Stoc epuizat|stoc epuizat|STOC EPUIZAT|Epuizat|epuizată|Indisponibil|indisponibilă|Nu este în stoc|nu este in stoc|Nu e în stoc|Lipsă stoc|lipsa stoc|Momentan indisponibil|Temporar indisponibil|Fără stoc|Nu|0 buc|Stoc: 0|Produs indisponibil|Produs epuizat|Nu mai este disponibil|Scos din stoc|'
        'Vândut|Retras din vânzare|Stoc zero|Anunță-mă când revine|'
        'Elfogyott|elfogyott|ELFOGYOTT|Nincs raktáron|nincs raktáron|Nincs készleten|nincs készleten|nincs keszleten|Jelenleg nincs raktáron|jelenleg nem elérhető|Jelenleg nem kapható|Átmenetileg nem elérhető|Nem elérhető|nem kapható|Nem rendelhető|Nincs|Nem|0 db|Készlet: 0|Kifutott termék|Kifutott|Megszűnt|'
        'Készlethiány|Eladva|Eladott|A termék elfogyott|'
        'Изчерпано|изчерпан|изчерпана|Изчерпано количество|Няма в наличност|няма наличност|Няма на склад|Не е наличен|не е налично|Неналичен|неналична|Няма|Не|0 бр|Временно изчерпан|Разпродадено|Спрян от производство|Продадено|'
        'Rasprodano|rasprodano|Nema na zalihi|nema na zalihi|Nije na zalihi|Nije dostupno|nedostupno|Trenutno nedostupno|Privremeno nedostupno|Nema na stanju|Nije na stanju|Nema|Ne|0 kom|Nema na skladištu|Ni na zalogi|Trenutno ni na zalogi|Razprodano|Ni na voljo|Prodano|Rasprodato|Распродато|'
        'Нема на стању|Nije raspoloživo|Zaliha: 0|'
        'Išparduota|išparduota|Neturime|Nėra sandėlyje|Nėra|Laikinai neturime|Prekės nėra|Prekė išparduota|Neprieinama|Ne|0 vnt.|Parduota|Neturime sandėlyje|'
        'Izpārdots|izpārdots|Nav pieejams|nav noliktavā|Nav|Nav noliktavā|Izpārdota|Īslaicīgi nav pieejams|Nē|0 gab.|Beidzies|Pārdots|'
        'Läbi müüdud|läbimüüdud|Otsas|Laost otsas|Pole laos|Ei ole laos|ei ole saadaval|Pole saadaval|Ajutiselt otsas|Ei|0 tk|Müüdud|'
        'אזל מהמלאי|אזל|אזל המלאי|לא במלאי|לא זמין|אין במלאי|חסר במלאי|המוצר אזל|לא|נמכר|'
        'غير متوفر|غير متوفرة|نفد|نفذت الكمية|نفدت الكمية|نفذ من المخزون|نفد المخزون|غير متاح|غير متوفر حاليا|غير متوفر حالياً|المنتج غير متوفر|لا|لا يوجد|مباع|'
        '缺货|无货|售罄|已售罄|售完|已售完|暂时缺货|暂时无货|无库存|库存 0|库存不足|已下架|已停产|缺貨|無庫存|已售完|暫時缺貨|補貨中|在庫なし|在庫無し|在庫切れ|売り切れ|'
        '売切|SOLD OUT|品切れ|品切れ中|完売|完売しました|なし|在庫 0|販売終了|품절|일시품절|일시 품절|재고 없음|재고없음|매진|판매 종료|단종|재고 0개|สินค้าหมด|หมด|hết hàng|tạm hết hàng|'
        'Hết|stok habis|Habis|stok: 0|Stokda yoxdur|არ არის მარაგში|Սպառված է|ناموجود|'
    ),
    "preorder": (
        'preorder|Pre-order|pre order|PreOrder|https://schema.org/PreOrder|https://schema.org/PreSale|Coming soon|Available for pre-order|Pre-order now|Vorbestellung|vorbestellbar|jetzt vorbestellen|précommande|En précommande|Preventa|Reserva|Reservar|Prenota ora|Preordine|Preordina|reserveer nu|pre-order|'
        'Pré-venda|Pré-encomenda|Przedsprzedaż|Zapowiedź|Předobjednávka|Předprodej|Predobjednávka|Forudbestil|Forhåndsbestilling|Förbeställ|Forhåndsbestill|Ennakkotilaus|предзаказ|Предзаказ|Оформить предзаказ|доступен предзаказ|Предварительный заказ|передзамовлення|Προπαραγγελία|Ön sipariş|Precomandă|Előrendelés|'
        'Előrendelhető|Предварителна поръчка|Prednarudžba|Prednaročilo|予約|予約受付中|预售|预订|예약판매|طلب مسبق|'
    ),
    "backorder": (
        'backorder|Back-order|BackOrder|https://schema.org/BackOrder|https://schema.org/MadeToOrder|on backorder|available on backorder|Made to order|special order|auf Bestellung|Auf Anfrage|bestellbar|auf Bestellung lieferbar|sur commande|Sur commande|bajo pedido|Bajo pedido|por encargo|Su ordinazione|su ordine|ordinabile|op bestelling|'
        'Op bestelling|Sob encomenda|por encomenda|na zamówienie|Na zamówienie|Na objednávku|na objednávku|Na dotaz|bestillingsvare|Bestillingsvare|beställningsvara|Beställningsvara|Tilaustuote|tilattavissa|под заказ|Под заказ|ПОД ЗАКАЗ|на заказ|Под заказ 3-5 дней|под заказ, 2 недели|ожидается|Ожидается поступление|'
        'Ожидается|В пути|під замовлення|Під замовлення|очікується|Очікується|Κατόπιν παραγγελίας|κατόπιν παραγγελίας|Sipariş üzerine|La comandă|la comanda|Rendelésre|rendelésre|Rendelhető|По поръчка|Po narudžbi|Po naročilu|Pagal užsakymą|Pēc pasūtījuma|Tellimisel|お取り寄せ|取り寄せ|'
        'בהזמנה|حسب الطلب|订货|'
    ),
    "unknown": (
        'bald da|maybe|call us|Call for availability|ask|позвоните|уточняйте|Уточняйте наличие|наличие уточняйте|Zapytaj o dostępność|na telefon|Verfügbarkeit prüfen|Consultar|Consultar disponibilidad|Contacter|?|???|n/a|N/A|-?|tbd|TBA|'
        'unknown|Unknown|неизвестно|unbekannt|xyz|in|check store|Check at the store|see store|sklep|2026-01-01|lieferbar ab 01.05.2026|Available from 2026-05-01|Disponible à partir du 01/05|new|used|0+|not sold out|kein Witz|'
    ),
}
# fmt: on
CASES = [
    (saying, state) for state, listed in SAYINGS.items() for saying in listed.strip("|").split("|")
]


@pytest.mark.parametrize("state", SAYINGS)
def test_what_stores_say(state: str) -> None:
    found = {saying: KNOWN(saying) for saying, meant in CASES if meant == state}
    assert {saying: said for saying, said in found.items() if said != state} == {}


def bare(said: str) -> str:
    """Without accents, as it is typed in haste."""
    return "".join(c for c in unicodedata.normalize("NFD", said) if not unicodedata.combining(c))


DRESS = [
    str.upper,
    str.capitalize,
    bare,
    lambda said: said.replace(" ", "&nbsp;"),
    lambda said: html.escape("".join(f"&#{ord(c)};" if ord(c) > 0x7F else c for c in said)),
    lambda said: f"<p class='x'>{said}!</p>",
    lambda said: f" {said} . ",
    lambda said: said.replace(" ", "_"),
    lambda said: unicodedata.normalize("NFD", said),
]
LISTED = [
    (said, state)
    for state in ("in_stock", "out_of_stock", "preorder", "backorder")
    for listed in _data()[state].values()
    for said in listed
    if not said.startswith("=")
]


@pytest.mark.parametrize("at", range(len(DRESS)))
def test_every_listed_phrase_in_every_dress(at: int) -> None:
    dressed = {(said, DRESS[at](said)): state for said, state in LISTED}
    found = {pair: KNOWN(pair[1]) for pair in dressed}
    assert {pair: said for pair, said in found.items() if said != dressed[pair]} == {}


MEANT = {word for kind in _data().values() for words in kind.values() for word in words}
STRANGE = st.text("bcdfghjklmnpqrstvwxz", min_size=4, max_size=12).filter(
    lambda word: word not in MEANT  # `http` says nothing, and is listed so
)


@given(st.sampled_from(LISTED), STRANGE, st.booleans())
def test_a_strange_word_beside_it_never_puts_anything_in_stock(
    listed: tuple[str, str], strange: str, before: bool
) -> None:
    said, state = listed
    found = KNOWN(f"{strange} {said}" if before else f"{said} {strange}")
    assert found in (state, "unknown")
    assert found != "in_stock"


@given(st.sampled_from([said for said, state in LISTED if state == "out_of_stock"]),
       st.sampled_from([said for said, state in LISTED if state == "in_stock"]))  # fmt: skip
def test_both_at_once_is_never_in_stock(out: str, stocked: str) -> None:
    assert KNOWN(f"{out}, {stocked}") != "in_stock"
    assert KNOWN(f"{stocked}, {out}") != "in_stock"


def test_what_is_usual_means_what_the_lists_say() -> None:
    assert {said: KNOWN.by_lists(said) for said in USUAL} == USUAL
    own = Words({"yes": "out_of_stock"})
    assert (own.of("yes"), own.of("in stock")) == ("out_of_stock", "in_stock"), "theirs come first"
